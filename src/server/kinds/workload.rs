//! What deployments, replica sets and daemon sets have in common: a selector, and a template for
//! pods.

use serde_json::{Map, Value, json};

use super::{names, pod_defaults, pod_validation};
use crate::server::object;
use crate::server::selector::LabelSelector;
use crate::server::status::Cause;

/// What is filled in in a pod by admission, and so not in a template.
const NOT_IN_TEMPLATES: &[&str] = &[
    "enableServiceLinks",
    "preemptionPolicy",
    "priority",
    "serviceAccount",
    "serviceAccountName",
    "tolerations",
];

/// Fills in what Kubernetes fills in in a pod template.
pub fn fill_template(spec: &mut Map<String, Value>) {
    let template = spec.entry("template").or_insert_with(|| json!({}));
    let before = template.get("spec").cloned().unwrap_or_default();
    pod_defaults::fill(template);
    for key in NOT_IN_TEMPLATES {
        object::copy(&mut template["spec"], &before, key);
    }
    object::metadata(template)
        .entry("creationTimestamp")
        .or_insert(Value::Null);
}

/// All that is wrong with the selector and the template of a `kind` (`deployment`).
pub fn validate(workload: &Value, old: Option<&Value>, kind: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    let labels: Vec<(&str, &str)> =
        object::pairs(workload, "/spec/template/metadata/labels").collect();
    let label = |key: &str| {
        labels
            .iter()
            .find_map(|(name, value)| (*name == key).then_some(*value))
    };
    match workload.pointer("/spec/selector") {
        None => {
            causes.push(Cause::required("spec.selector", ""));
            causes.push(does_not_match(workload));
        }
        Some(value) => match LabelSelector::of(value) {
            None => causes.push(Cause::invalid(
                "spec.selector",
                value,
                "invalid label selector",
            )),
            Some(selector) if selector.is_empty() => causes.push(Cause::invalid_shown(
                "spec.selector",
                &go_selector(value),
                &format!("empty selector is invalid for {kind}"),
            )),
            Some(selector) if !selector.matches(label) => causes.push(does_not_match(workload)),
            Some(_) => {}
        },
    }
    if let Some(old) = old
        && let Some(selector) = workload.pointer("/spec/selector")
        && old.pointer("/spec/selector") != Some(selector)
    {
        causes.push(Cause::invalid_shown(
            "spec.selector",
            &go_selector(selector),
            "field is immutable",
        ));
    }
    validate_template(workload, &labels, &mut causes);
    causes
}

fn does_not_match(workload: &Value) -> Cause {
    Cause::invalid_shown(
        "spec.template.metadata.labels",
        &go_map(workload.pointer("/spec/template/metadata/labels")),
        "`selector` does not match template `labels`",
    )
}

fn validate_template(workload: &Value, labels: &[(&str, &str)], causes: &mut Vec<Cause>) {
    for (key, value) in labels {
        let path = "spec.template.labels";
        if let Some(why) = names::qualified_name(key) {
            causes.push(Cause::invalid(path, &json!(key), why));
        }
        if let Some(why) = names::label_value(value) {
            causes.push(Cause::invalid(path, &json!(value), why));
        }
    }
    let template = &workload["spec"]["template"];
    for mut cause in pod_validation::validate(template, None) {
        cause.field = format!("spec.template.{}", cause.field);
        causes.push(cause);
    }
    let policy = object::text(template, "/spec/restartPolicy");
    if matches!(policy, "Never" | "OnFailure") {
        causes.push(Cause::unsupported(
            "spec.template.spec.restartPolicy",
            policy,
            &["Always"],
        ));
    }
}

/// `spec.<field>` must not be below 0.
pub fn not_negative(workload: &Value, field: &str, causes: &mut Vec<Cause>) {
    let given = workload
        .pointer(&format!("/spec/{field}"))
        .and_then(Value::as_i64);
    if let Some(given) = given.filter(|given| *given < 0) {
        causes.push(Cause::invalid(
            format!("spec.{field}"),
            &json!(given),
            "must be greater than or equal to 0",
        ));
    }
}

/// A number of pods, or a share of them: `IntOrString`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    Count(i64),
    Percent(i64),
}

impl Share {
    /// `None`: neither a number nor a percentage.
    pub fn of(value: &Value) -> Option<Share> {
        match value {
            Value::Number(number) => number.as_i64().map(Share::Count),
            Value::String(text) => {
                let digits = text.strip_suffix('%')?;
                let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                plain
                    .then(|| digits.parse().ok())
                    .flatten()
                    .map(Share::Percent)
            }
            _ => None,
        }
    }

    pub fn is_zero(self) -> bool {
        matches!(self, Share::Count(0) | Share::Percent(0))
    }

    pub fn rounded_up(self, of: i64) -> i64 {
        match self {
            Share::Count(count) => count,
            Share::Percent(percent) => percent.saturating_mul(of).saturating_add(99) / 100,
        }
    }

    pub fn rounded_down(self, of: i64) -> i64 {
        match self {
            Share::Count(count) => count,
            Share::Percent(percent) => percent.saturating_mul(of) / 100,
        }
    }
}

/// A share that is absent, or what is wrong with it.
pub fn validate_share(value: &Value, path: &str, causes: &mut Vec<Cause>) {
    match Share::of(value) {
        Some(Share::Count(count)) if count < 0 => causes.push(Cause::invalid(
            path,
            value,
            "must be greater than or equal to 0",
        )),
        Some(_) => {}
        None => causes.push(Cause::invalid(
            path,
            value,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  \
             or '93%', regex used for validation is '[0-9]+%')",
        )),
    }
}

/// A map of strings as Go prints it in an error.
fn go_map(map: Option<&Value>) -> String {
    let empty = Map::new();
    let map = map.and_then(Value::as_object).unwrap_or(&empty);
    let mut pairs: Vec<String> = map
        .iter()
        .map(|(key, value)| format!("{key:?}:{value}"))
        .collect();
    pairs.sort();
    match pairs.is_empty() {
        true => "map[string]string(nil)".into(),
        false => format!("map[string]string{{{}}}", pairs.join(", ")),
    }
}

fn go_selector(selector: &Value) -> String {
    let expressions: Vec<String> = object::list(selector, "/matchExpressions")
        .iter()
        .map(|expression| {
            let values: Vec<String> = object::list(expression, "/values")
                .iter()
                .map(Value::to_string)
                .collect();
            format!(
                "v1.LabelSelectorRequirement{{Key:{:?}, Operator:{:?}, Values:[]string{{{}}}}}",
                object::text(expression, "/key"),
                object::text(expression, "/operator"),
                values.join(", ")
            )
        })
        .collect();
    let expressions = match expressions.is_empty() {
        true => "(nil)".to_owned(),
        false => format!("{{{}}}", expressions.join(", ")),
    };
    format!(
        "v1.LabelSelector{{MatchLabels:{}, MatchExpressions:[]v1.LabelSelectorRequirement{expressions}}}",
        go_map(selector.get("matchLabels"))
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn workload(selector: Value, labels: Value) -> Value {
        let mut workload = json!({"spec": {"selector": selector, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "a", "image": "a:1"}]},
        }}});
        fill_template(object::map(&mut workload, "spec"));
        workload
    }

    fn problems(workload: &Value) -> Vec<String> {
        validate(workload, None, "deployment")
            .into_iter()
            .map(|cause| format!("{}: {}", cause.field, cause.detail))
            .collect()
    }

    #[test]
    fn a_template_gets_what_a_pod_gets_but_for_what_admission_adds() {
        let filled = workload(json!({}), json!({}));
        let spec = &filled["spec"]["template"]["spec"];
        assert_eq!(spec["restartPolicy"], "Always");
        assert_eq!(spec.get("tolerations"), None);
        let mut again = filled.clone();
        fill_template(object::map(&mut again, "spec"));
        assert_eq!(again, filled);
    }

    #[test]
    fn problems_are_worded_as_in_kubernetes() {
        let app = |name: &str| json!({"app": name});
        let selector = |name: &str| json!({"matchLabels": {"app": name}});
        assert_eq!(problems(&workload(selector("a"), app("a"))), [""; 0]);
        assert_eq!(
            problems(&workload(selector("a"), app("b"))),
            [
                "spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"b\"}: \
              `selector` does not match template `labels`"
            ]
        );
        assert_eq!(
            problems(&workload(json!({}), app("b"))),
            [
                "spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), \
              MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for \
              deployment"
            ]
        );
        let mut nameless = workload(selector("a"), app("a"));
        nameless["spec"]["template"]["spec"]["containers"][0]["name"] = "".into();
        nameless["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
        assert_eq!(
            problems(&nameless),
            [
                "spec.template.spec.containers[0].name: Required value",
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \
                 \"Always\"",
            ]
        );
    }

    proptest! {
        #[test]
        fn shares_round_apart_and_stay_near(percent in 0_i64..=100, of in 0_i64..10_000) {
            let share = Share::of(&json!(format!("{percent}%"))).unwrap();
            let (down, up) = (share.rounded_down(of), share.rounded_up(of));
            prop_assert!(down <= up && up - down <= 1 && up <= of);
        }
    }

    #[test]
    fn what_is_no_share() {
        for value in [
            json!("a%"),
            json!("5"),
            json!("%"),
            json!(true),
            json!("-1%"),
        ] {
            assert_eq!(Share::of(&value), None, "{value}");
        }
    }
}
