//! Pods of a node that is not ready are not ready either: services lead past them.
//!
//! As kube-controller-manager's node lifecycle controller does (`MarkPodsNotReady`). Only the condition
//! changes: a pod runs on, and its agent says that it is ready again once it is back.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;

use super::event_record::{self, Record};
use super::informer::{Informer, Seen};
use super::note;
use crate::server::kinds::node::NODES;
use crate::server::kinds::pod::PODS;
use crate::server::object;
use crate::server::rest::finish_update;
use crate::server::status::ApiError;
use crate::server::store::{Change, EventKind, Store, StoredObject, View};

const REASON: &str = "NodeNotReady";
const COMPONENT: &str = "node-controller";

pub async fn run(store: Store) {
    let mut nodes = Informer::new(&store, &NODES);
    let mut known = Known::default();
    loop {
        for turned in known.see(nodes.next().await) {
            if turned.was_ready {
                tell(&store, &turned.node).await;
            }
            mark_pods(&store, turned.node.name()).await;
        }
    }
}

/// What each node's Ready condition said last; nodes without one are left out.
#[derive(Default)]
struct Known(HashMap<String, String>);

/// A node that is not ready, as it was not before.
struct Turned {
    node: Arc<StoredObject>,
    /// `false` too for one that was not known.
    was_ready: bool,
}

impl Known {
    fn see(&mut self, seen: Seen) -> Vec<Turned> {
        match seen {
            Seen::All(nodes) => {
                let mut before = std::mem::take(self);
                let turned = nodes.iter().filter_map(|node| before.see_node(node));
                let turned = turned.collect();
                let is_there = |name: &str| nodes.iter().any(|node| node.name() == name);
                before.0.retain(|name, _| is_there(name));
                *self = before;
                turned
            }
            Seen::Changes(events) => {
                let each = events.iter().filter_map(|event| match event.kind {
                    EventKind::Deleted => {
                        self.0.remove(event.object.name());
                        None
                    }
                    _ => self.see_node(&event.object),
                });
                each.collect()
            }
        }
    }

    fn see_node(&mut self, node: &Arc<StoredObject>) -> Option<Turned> {
        let value = node.value();
        let now = ready(&value)?;
        let before = self.0.insert(node.name().to_owned(), now.to_owned());
        let turned = now != "True" && before.as_deref() != Some(now);
        turned.then(|| Turned {
            node: node.clone(),
            was_ready: before.as_deref() == Some("True"),
        })
    }
}

fn ready(object: &Value) -> Option<&str> {
    object::condition(object, "Ready").map(|ready| object::text(ready, "/status"))
}

async fn tell(store: &Store, node: &Arc<StoredObject>) {
    let record = Record {
        kind: "Normal",
        reason: REASON,
        message: format!("Node {} status is now: {REASON}", node.name()),
        component: COMPONENT,
    };
    event_record::record(store, node, record).await;
}

async fn mark_pods(store: &Store, node: &str) {
    let (pods, _) = store.list(&PODS.prefix(None));
    let of_node = pods
        .iter()
        .filter(|pod| pod.field("spec.nodeName") == node && ready(&pod.value()) == Some("True"));
    join_all(of_node.map(|pod| mark(store, pod))).await;
}

async fn mark(store: &Store, pod: &Arc<StoredObject>) {
    let found = pod.clone();
    let marked = store.write(move |view| not_ready(view, &found)).await;
    let Some(marked) = note("mark a pod of a node that is not ready", marked) else {
        return;
    };
    if ready(&marked.value()) == Some("True") {
        return;
    }
    let record = Record {
        kind: "Warning",
        reason: REASON,
        message: "Node is not ready".to_owned(),
        component: COMPONENT,
    };
    event_record::record(store, &marked, record).await;
}

/// The node may be back by now; then its pods are as it says.
fn not_ready(view: &View<'_>, pod: &StoredObject) -> Result<Change, ApiError> {
    let pod = view
        .get(&pod.key)
        .filter(|now| now.uid == pod.uid)
        .ok_or_else(|| ApiError::not_found(&PODS, pod.name()))?;
    let node = view.get(&NODES.key("", pod.field("spec.nodeName")));
    let before = pod.value();
    let is_back = node.is_none_or(|node| ready(&node.value()) == Some("True"));
    let Some(condition) = object::condition(&before, "Ready").filter(|_| !is_back) else {
        return Ok(Change::Keep(pod));
    };
    let mut condition = condition.clone();
    condition["status"] = "False".into();
    let mut after = before.clone();
    object::set_condition(&mut after, condition, &object::timestamp(Timestamp::now()));
    finish_update(&PODS, &before, after)
}
