//! Taints of nodes, and which of them a pod tolerates. Pure.

use serde_json::Value;

use crate::server::object;

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: Effect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl Effect {
    fn of(text: &str) -> Option<Effect> {
        match text {
            "NoSchedule" => Some(Effect::NoSchedule),
            "PreferNoSchedule" => Some(Effect::PreferNoSchedule),
            "NoExecute" => Some(Effect::NoExecute),
            _ => None,
        }
    }
}

impl Taint {
    pub fn new(key: &str, effect: Effect) -> Taint {
        Taint {
            key: key.to_owned(),
            value: String::new(),
            effect,
        }
    }

    pub fn of(taint: &Value) -> Option<Taint> {
        Some(Taint {
            key: object::text(taint, "/key").to_owned(),
            value: object::text(taint, "/value").to_owned(),
            effect: Effect::of(object::text(taint, "/effect"))?,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toleration {
    /// Empty: every key.
    key: String,
    /// `None`: every value.
    value: Option<String>,
    /// `None`: every effect.
    effect: Option<Effect>,
    /// How long it tolerates a `NoExecute` taint; `None`: for ever.
    pub seconds: Option<i64>,
}

impl Toleration {
    pub fn all(pod: &Value) -> Vec<Toleration> {
        object::list(pod, "/spec/tolerations")
            .iter()
            .map(|toleration| Toleration {
                key: object::text(toleration, "/key").to_owned(),
                value: (object::text(toleration, "/operator") != "Exists")
                    .then(|| object::text(toleration, "/value").to_owned()),
                effect: Effect::of(object::text(toleration, "/effect")),
                seconds: toleration.get("tolerationSeconds").and_then(Value::as_i64),
            })
            .collect()
    }

    pub fn tolerates(&self, taint: &Taint) -> bool {
        (self.key.is_empty() || self.key == taint.key)
            && self
                .value
                .as_ref()
                .is_none_or(|value| *value == taint.value)
            && self.effect.is_none_or(|effect| effect == taint.effect)
    }
}

/// The first of the taints that keep a pod off a node and that it does not tolerate.
pub fn untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    taints
        .iter()
        .filter(|taint| taint.effect != Effect::PreferNoSchedule)
        .find(|taint| !tolerations.iter().any(|one| one.tolerates(taint)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_tolerated() {
        let taint = Taint::of(&json!({"key": "a", "value": "b", "effect": "NoSchedule"})).unwrap();
        for (toleration, tolerates) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "a", "operator": "Exists"}), true),
            (json!({"key": "a", "value": "b"}), true),
            (
                json!({"key": "a", "operator": "Equal", "value": "c"}),
                false,
            ),
            (
                json!({"key": "a", "operator": "Exists", "effect": "NoExecute"}),
                false,
            ),
            (json!({"key": "c", "operator": "Exists"}), false),
        ] {
            let pod = json!({"spec": {"tolerations": [toleration]}});
            let all = Toleration::all(&pod);
            assert_eq!(all[0].tolerates(&taint), tolerates, "{pod}");
        }
        let soft = Taint::new("a", Effect::PreferNoSchedule);
        assert_eq!(untolerated(&[soft], &[]), None);
    }
}
