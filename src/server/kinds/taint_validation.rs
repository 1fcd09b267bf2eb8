//! Taints of nodes and tolerations of pods, as kube-apiserver checks them.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::names;
use crate::server::object;
use crate::server::status::Cause;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Adds what is wrong with a pod's tolerations.
pub fn tolerations(pod: &Value, causes: &mut Vec<Cause>) {
    let all = object::list(pod, "/spec/tolerations").iter();
    for (index, toleration) in all.enumerate() {
        let path = |field: &str| format!("spec.tolerations[{index}].{field}");
        let text = |field: &str| object::text(toleration, &format!("/{field}"));
        let (key, operator, value, effect) =
            (text("key"), text("operator"), text("value"), text("effect"));
        if key.is_empty() {
            if operator != "Exists" {
                causes.push(Cause::invalid(
                    path("operator"),
                    &json!(operator),
                    "operator must be Exists when `key` is empty, which means \"match all values \
                     and all keys\"",
                ));
            }
        } else if let Some(why) = names::qualified_name(key) {
            causes.push(Cause::invalid(path("key"), &json!(key), why));
        }
        if toleration.get("tolerationSeconds").is_some() && effect != "NoExecute" {
            causes.push(Cause::invalid(
                path("effect"),
                &json!(effect),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            ));
        }
        match operator {
            "Equal" | "" => {
                if let Some(why) = names::label_value(value) {
                    causes.push(Cause::invalid(path("operator"), &json!(value), why));
                }
            }
            "Exists" if value.is_empty() => {}
            "Exists" => causes.push(Cause::invalid(
                path("operator"),
                &json!(value),
                "value must be empty when `operator` is 'Exists'",
            )),
            other => causes.push(Cause::unsupported(
                path("operator"),
                other,
                &["Equal", "Exists"],
            )),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            causes.push(Cause::unsupported(path("effect"), effect, EFFECTS));
        }
    }
}

/// Adds what is wrong with a node's taints. Kubernetes says that they are in its metadata.
pub fn taints(node: &Value, causes: &mut Vec<Cause>) {
    let mut seen = HashSet::new();
    for (index, taint) in object::list(node, "/spec/taints").iter().enumerate() {
        let path = format!("metadata.taints[{index}]");
        let text = |field: &str| object::text(taint, &format!("/{field}"));
        let (key, value, effect) = (text("key"), text("value"), text("effect"));
        if let Some(why) = names::qualified_name(key) {
            causes.push(Cause::invalid(format!("{path}.key"), &json!(key), why));
        }
        if let Some(why) = names::label_value(value) {
            causes.push(Cause::invalid(format!("{path}.value"), &json!(value), why));
        }
        match effect {
            "" => causes.push(Cause::required(format!("{path}.effect"), "")),
            effect if EFFECTS.contains(&effect) => {}
            other => causes.push(Cause::unsupported(format!("{path}.effect"), other, EFFECTS)),
        }
        if !seen.insert((key, effect)) {
            let shown = format!(
                "core.Taint{{Key:{key:?}, Value:{value:?}, Effect:{effect:?}, \
                 TimeAdded:(*v1.Time)(nil)}}: taints must be unique by key and effect pair"
            );
            causes.push(Cause::duplicate_shown(path, &shown));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(causes: Vec<Cause>) -> Vec<String> {
        let each = causes.iter();
        each.map(|cause| format!("{}: {}", cause.field, cause.detail))
            .collect()
    }

    #[test]
    fn tolerations_that_make_no_sense() {
        for (toleration, why) in [
            (
                json!({"operator": "Equal"}),
                "operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, \
                 which means \"match all values and all keys\"",
            ),
            (
                json!({"key": "a", "tolerationSeconds": 5, "effect": "NoSchedule"}),
                "effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when \
                 `tolerationSeconds` is set",
            ),
            (
                json!({"key": "a", "operator": "Exists", "value": "b"}),
                "operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
            ),
            (
                json!({"key": "a", "operator": "Like"}),
                "operator: Unsupported value: \"Like\": supported values: \"Equal\", \"Exists\"",
            ),
            (
                json!({"key": "a", "effect": "Never"}),
                "effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \
                 \"PreferNoSchedule\", \"NoExecute\"",
            ),
        ] {
            let mut causes = Vec::new();
            let fine = json!({"operator": "Exists"});
            tolerations(
                &json!({"spec": {"tolerations": [fine, toleration]}}),
                &mut causes,
            );
            assert_eq!(said(causes), [format!("spec.tolerations[1].{why}")]);
        }
    }

    #[test]
    fn taints_are_unique_and_say_what_they_do() {
        let node = json!({"spec": {"taints": [
            {"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"},
            {"key": "a", "effect": "NoSchedule"}, {"key": "c"},
        ]}});
        let mut causes = Vec::new();
        taints(&node, &mut causes);
        assert_eq!(
            said(causes),
            [
                "metadata.taints[2]: Duplicate value: core.Taint{Key:\"a\", Value:\"\", \
                 Effect:\"NoSchedule\", TimeAdded:(*v1.Time)(nil)}: taints must be unique by key and \
                 effect pair",
                "metadata.taints[3].effect: Required value",
            ]
        );
    }
}
