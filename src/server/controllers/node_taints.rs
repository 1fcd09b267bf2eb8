//! The taints that a node's condition and its cordon imply.
//!
//! Ready=False and Ready=Unknown keep new pods off at once, and drive away those that do not tolerate it
//! (`NoExecute`), which by default is after five minutes. A cordon keeps new pods off.

use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::informer::{Informer, Seen};
use super::placement::taint::{NOT_READY, UNREACHABLE, UNSCHEDULABLE};
use super::{note, write};
use crate::server::kinds::node::NODES;
use crate::server::object;
use crate::server::store::{EventKind, Store, StoredObject};

const OURS: [(&str, &str); 5] = [
    (NOT_READY, "NoSchedule"),
    (NOT_READY, "NoExecute"),
    (UNREACHABLE, "NoSchedule"),
    (UNREACHABLE, "NoExecute"),
    (UNSCHEDULABLE, "NoSchedule"),
];

pub async fn run(store: Store) {
    let mut nodes = Informer::new(&store, &NODES);
    loop {
        let changed: Vec<Arc<StoredObject>> = match nodes.next().await {
            Seen::All(nodes) => nodes,
            Seen::Changes(events) => events
                .iter()
                .filter(|event| event.kind != EventKind::Deleted)
                .map(|event| event.object.clone())
                .collect(),
        };
        let wrong = changed.iter().filter(|node| {
            let mut value = node.value();
            put_right(&mut value, Timestamp::now())
        });
        let written = wrong.map(|node| {
            write::update(&store, node, |value| {
                put_right(value, Timestamp::now());
            })
        });
        for result in join_all(written).await {
            note("taint a node", result);
        }
    }
}

/// Gives a node the taints it is to have; whether that changed any.
fn put_right(node: &mut Value, now: Timestamp) -> bool {
    let wanted = wanted(node);
    let taints = object::list(node, "/spec/taints");
    let is = |taint: &Value, (key, effect): (&str, &str)| {
        object::text(taint, "/key") == key && object::text(taint, "/effect") == effect
    };
    let mut after: Vec<Value> = taints
        .iter()
        .filter(|taint| {
            let ours = OURS.iter().find(|ours| is(taint, **ours));
            ours.is_none_or(|ours| wanted.contains(ours))
        })
        .cloned()
        .collect();
    for (key, effect) in wanted {
        if !after.iter().any(|taint| is(taint, (key, effect))) {
            let now = object::timestamp(now);
            after.push(json!({"key": key, "effect": effect, "timeAdded": now}));
        }
    }
    if after.as_slice() == taints {
        return false;
    }
    let spec = object::map(node, "spec");
    match after.is_empty() {
        true => spec.shift_remove("taints"),
        false => spec.insert("taints".into(), after.into()),
    };
    true
}

fn wanted(node: &Value) -> Vec<(&'static str, &'static str)> {
    let ready = object::condition(node, "Ready").map(|ready| object::text(ready, "/status"));
    let key = match ready {
        // A node that has never said anything is about to.
        Some("True") | None => None,
        Some("Unknown") => Some(UNREACHABLE),
        Some(_) => Some(NOT_READY),
    };
    let mut wanted: Vec<(&str, &str)> = key
        .into_iter()
        .flat_map(|key| [(key, "NoSchedule"), (key, "NoExecute")])
        .collect();
    if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(status: &str, cordoned: bool, taints: Value) -> Value {
        json!({
            "spec": {"unschedulable": cordoned, "taints": taints},
            "status": {"conditions": [{"type": "Ready", "status": status}]},
        })
    }

    proptest! {
        #[test]
        fn taints_follow_the_node_and_others_stay(
            states in prop::collection::vec(
                (prop::sample::select(vec!["True", "False", "Unknown"]), any::<bool>()), 1..6,
            ),
        ) {
            let mut node = node("True", false, json!([{"key": "gpu", "effect": "NoSchedule"}]));
            for (status, cordoned) in states {
                node["status"]["conditions"][0]["status"] = status.into();
                node["spec"]["unschedulable"] = cordoned.into();
                put_right(&mut node, Timestamp::UNIX_EPOCH);
                prop_assert!(!put_right(&mut node, Timestamp::now()), "twice changes nothing");
                let taints = object::list(&node, "/spec/taints");
                let has = |key: &str| taints.iter().any(|taint| object::text(taint, "/key") == key);
                prop_assert!(has("gpu"));
                prop_assert_eq!(has(NOT_READY), status == "False");
                prop_assert_eq!(has(UNREACHABLE), status == "Unknown");
                prop_assert_eq!(has(UNSCHEDULABLE), cordoned);
            }
        }
    }
}
