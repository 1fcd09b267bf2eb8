//! What a pod may ask of where it goes: node selector, affinity, spreading.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::names;
use crate::server::object;
use crate::server::status::Cause;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Adds what is wrong with it.
pub fn validate(pod: &Value, causes: &mut Vec<Cause>) {
    label_map(pod, "/spec/nodeSelector", "spec.nodeSelector", causes);
    node_affinity(pod, causes);
    for kind in ["podAffinity", "podAntiAffinity"] {
        let at = format!("/spec/affinity/{kind}");
        let path = format!("spec.affinity.{kind}");
        for (index, term) in object::list(pod, &format!("{at}/{REQUIRED}"))
            .iter()
            .enumerate()
        {
            pod_term(term, &format!("{path}.{REQUIRED}[{index}]"), causes);
        }
        for (index, wish) in object::list(pod, &format!("{at}/{PREFERRED}"))
            .iter()
            .enumerate()
        {
            let path = format!("{path}.{PREFERRED}[{index}]");
            weight(wish, &path, causes);
            let path = format!("{path}.podAffinityTerm");
            pod_term(&wish["podAffinityTerm"], &path, causes);
        }
    }
    spread(pod, causes);
}

/// Adds what is wrong with a `meta/v1 LabelSelector`.
pub fn label_selector(selector: &Value, path: &str, causes: &mut Vec<Cause>) {
    label_map(
        selector,
        "/matchLabels",
        &format!("{path}.matchLabels"),
        causes,
    );
    let expressions = object::list(selector, "/matchExpressions").iter();
    for (index, expression) in expressions.enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        requirement(expression, &path, false, causes);
    }
}

fn label_map(value: &Value, pointer: &str, path: &str, causes: &mut Vec<Cause>) {
    for (key, label) in object::pairs(value, pointer) {
        if let Some(why) = names::qualified_name(key) {
            causes.push(Cause::invalid(path, &json!(key), why));
        }
        if let Some(why) = names::label_value(label) {
            causes.push(Cause::invalid(path, &json!(label), why));
        }
    }
}

fn node_affinity(pod: &Value, causes: &mut Vec<Cause>) {
    let path = "spec.affinity.nodeAffinity";
    if let Some(required) = pod.pointer(&format!("/spec/affinity/nodeAffinity/{REQUIRED}")) {
        let path = format!("{path}.{REQUIRED}.nodeSelectorTerms");
        let terms = object::list(required, "/nodeSelectorTerms");
        if terms.is_empty() {
            let why = "must have at least one node selector term";
            causes.push(Cause::required(&path, why));
        }
        for (index, term) in terms.iter().enumerate() {
            node_term(term, &format!("{path}[{index}]"), causes);
        }
    }
    let wishes = object::list(pod, &format!("/spec/affinity/nodeAffinity/{PREFERRED}"));
    for (index, wish) in wishes.iter().enumerate() {
        let path = format!("{path}.{PREFERRED}[{index}]");
        weight(wish, &path, causes);
        node_term(&wish["preference"], &format!("{path}.preference"), causes);
    }
}

fn node_term(term: &Value, path: &str, causes: &mut Vec<Cause>) {
    let expressions = object::list(term, "/matchExpressions").iter();
    for (index, expression) in expressions.enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        requirement(expression, &path, true, causes);
    }
    for (index, field) in object::list(term, "/matchFields").iter().enumerate() {
        let path = format!("{path}.matchFields[{index}]");
        match object::text(field, "/operator") {
            "In" | "NotIn" if object::list(field, "/values").len() != 1 => {
                causes.push(Cause::required(
                    format!("{path}.values"),
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
                ));
            }
            "In" | "NotIn" => {}
            other => causes.push(no_operator(&path, other)),
        }
        let key = object::text(field, "/key");
        if key != "metadata.name" {
            causes.push(Cause::invalid(
                format!("{path}.key"),
                &json!(key),
                "not a valid field selector key",
            ));
        }
    }
}

/// `compares`: a node selector's, which knows greater and less.
fn requirement(expression: &Value, path: &str, compares: bool, causes: &mut Vec<Cause>) {
    let values = object::list(expression, "/values");
    match object::text(expression, "/operator") {
        "In" | "NotIn" if values.is_empty() => causes.push(Cause::required(
            format!("{path}.values"),
            "must be specified when `operator` is 'In' or 'NotIn'",
        )),
        "Exists" | "DoesNotExist" if !values.is_empty() => causes.push(Cause::forbidden(
            format!("{path}.values"),
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        )),
        "Gt" | "Lt" if compares && values.len() != 1 => causes.push(Cause::required(
            format!("{path}.values"),
            "must be specified single value when `operator` is 'Lt' or 'Gt'",
        )),
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        "Gt" | "Lt" if compares => {}
        other => causes.push(no_operator(path, other)),
    }
    let key = object::text(expression, "/key");
    if let Some(why) = names::qualified_name(key) {
        causes.push(Cause::invalid(format!("{path}.key"), &json!(key), why));
    }
}

fn no_operator(path: &str, operator: &str) -> Cause {
    Cause::invalid(
        format!("{path}.operator"),
        &json!(operator),
        "not a valid selector operator",
    )
}

fn weight(wish: &Value, path: &str, causes: &mut Vec<Cause>) {
    let weight = wish["weight"].as_i64().unwrap_or(0);
    if !(1..=100).contains(&weight) {
        causes.push(Cause::invalid(
            format!("{path}.weight"),
            &json!(weight),
            "must be in the range 1-100",
        ));
    }
}

fn pod_term(term: &Value, path: &str, causes: &mut Vec<Cause>) {
    for field in ["labelSelector", "namespaceSelector"] {
        label_selector(&term[field], &format!("{path}.{field}"), causes);
    }
    if object::text(term, "/topologyKey").is_empty() {
        causes.push(Cause::required(
            format!("{path}.topologyKey"),
            "can not be empty",
        ));
    }
}

fn spread(pod: &Value, causes: &mut Vec<Cause>) {
    const NOT_POSITIVE: &str = "must be greater than zero";
    let mut seen = HashSet::new();
    let constraints = object::list(pod, "/spec/topologySpreadConstraints").iter();
    for (index, constraint) in constraints.enumerate() {
        let path = format!("spec.topologySpreadConstraints[{index}]");
        let skew = constraint["maxSkew"].as_i64().unwrap_or(0);
        if skew <= 0 {
            causes.push(Cause::invalid(
                format!("{path}.maxSkew"),
                &json!(skew),
                NOT_POSITIVE,
            ));
        }
        let key = object::text(constraint, "/topologyKey");
        if key.is_empty() {
            causes.push(Cause::required(
                format!("{path}.topologyKey"),
                "can not be empty",
            ));
        }
        let otherwise = object::text(constraint, "/whenUnsatisfiable");
        if !matches!(otherwise, "DoNotSchedule" | "ScheduleAnyway") {
            causes.push(Cause::unsupported(
                format!("{path}.whenUnsatisfiable"),
                otherwise,
                &["DoNotSchedule", "ScheduleAnyway"],
            ));
        }
        if let Some(least) = constraint["minDomains"].as_i64() {
            let why = if least <= 0 {
                Some(NOT_POSITIVE.to_owned())
            } else if otherwise != "DoNotSchedule" {
                Some(format!(
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {otherwise}"
                ))
            } else {
                None
            };
            if let Some(why) = why {
                causes.push(Cause::invalid(
                    format!("{path}.minDomains"),
                    &json!(least),
                    &why,
                ));
            }
        }
        if !seen.insert((key, otherwise)) {
            causes.push(Cause::duplicate(
                format!("{path}.{{topologyKey, whenUnsatisfiable}}"),
                &format!("{{{key}, {otherwise}}}"),
            ));
        }
        let selector = &constraint["labelSelector"];
        label_selector(selector, &format!("{path}.labelSelector"), causes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(spec: Value) -> Vec<String> {
        let mut causes = Vec::new();
        validate(&json!({"spec": spec}), &mut causes);
        let each = causes.iter();
        each.map(|cause| format!("{}: {}", cause.field, cause.detail))
            .collect()
    }

    #[test]
    fn affinity_that_cannot_be_meant() {
        let node = json!({"nodeAffinity": {
            REQUIRED: {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "a", "operator": "In"}]},
                {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1", "2"]}]},
                {"matchFields": [{"key": "metadata.uid", "operator": "Exists"}]},
            ]},
            PREFERRED: [{"weight": 101, "preference": {"matchExpressions": [
                {"key": "a", "operator": "Exists", "values": ["b"]},
            ]}}],
        }});
        let required = format!("spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms");
        let preferred = format!("spec.affinity.nodeAffinity.{PREFERRED}[0]");
        assert_eq!(
            said(json!({"affinity": node})),
            [
                format!(
                    "{required}[0].matchExpressions[0].values: Required value: must be specified when \
                         `operator` is 'In' or 'NotIn'"
                ),
                format!(
                    "{required}[1].matchExpressions[0].values: Required value: must be specified \
                         single value when `operator` is 'Lt' or 'Gt'"
                ),
                format!(
                    "{required}[2].matchFields[0].operator: Invalid value: \"Exists\": not a valid \
                         selector operator"
                ),
                format!(
                    "{required}[2].matchFields[0].key: Invalid value: \"metadata.uid\": not a valid \
                         field selector key"
                ),
                format!("{preferred}.weight: Invalid value: 101: must be in the range 1-100"),
                format!(
                    "{preferred}.preference.matchExpressions[0].values: Forbidden: may not be \
                         specified when `operator` is 'Exists' or 'DoesNotExist'"
                ),
            ]
        );
        let none = json!({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}});
        assert_eq!(
            said(json!({"affinity": none})),
            [format!(
                "{required}: Required value: must have at least one node selector term"
            )]
        );
        let pods = json!({"podAntiAffinity": {
            REQUIRED: [{"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Gt"}]}}],
            PREFERRED: [{"weight": 1, "podAffinityTerm": {}}],
        }});
        let path = "spec.affinity.podAntiAffinity";
        assert_eq!(
            said(json!({"affinity": pods})),
            [
                format!(
                    "{path}.{REQUIRED}[0].labelSelector.matchExpressions[0].operator: Invalid value: \
                         \"Gt\": not a valid selector operator"
                ),
                format!("{path}.{REQUIRED}[0].topologyKey: Required value: can not be empty"),
                format!(
                    "{path}.{PREFERRED}[0].podAffinityTerm.topologyKey: Required value: can not be \
                         empty"
                ),
            ]
        );
    }

    #[test]
    fn spreading_that_cannot_be_meant() {
        let hard =
            json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
        let path = "spec.topologySpreadConstraints";
        let soft = json!({"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
                          "minDomains": 2});
        assert_eq!(
            said(json!({"topologySpreadConstraints": [hard, hard, soft, {"maxSkew": 1}]})),
            [
                format!(
                    "{path}[1].{{topologyKey, whenUnsatisfiable}}: Duplicate value: \"{{zone, \
                         DoNotSchedule}}\""
                ),
                format!("{path}[2].maxSkew: Invalid value: 0: must be greater than zero"),
                format!(
                    "{path}[2].minDomains: Invalid value: 2: can only use minDomains if \
                         whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"
                ),
                format!("{path}[3].topologyKey: Required value: can not be empty"),
                format!(
                    "{path}[3].whenUnsatisfiable: Unsupported value: \"\": supported values: \
                         \"DoNotSchedule\", \"ScheduleAnyway\""
                ),
            ]
        );
    }
}
