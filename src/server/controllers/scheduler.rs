//! The scheduler: pods without a node get one.

use std::sync::{Arc, LazyLock};

use futures::future::{join_all, ready};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::yield_now;

use super::event_record::{self, Record};
use super::informer::{Informer, Seen};
use super::note;
use super::placement::{Decision, Needs, Placement};
use crate::server::kinds::namespace::NAMESPACES;
use crate::server::kinds::node::NODES;
use crate::server::kinds::pod::PODS;
use crate::server::object;
use crate::server::pick::Fields;
use crate::server::rest::bind;
use crate::server::status::ApiError;
use crate::server::store::{Change, EventKind, Store, StoredObject};

const COMPONENT: &str = "default-scheduler";
/// Pods decided before the next look at what has changed: a few commits' worth.
const ROUND: usize = 512;

pub async fn run(store: Store) {
    let mut nodes = Informer::new(&store, &NODES);
    let mut pods = Informer::new(&store, &PODS);
    let mut namespaces = Informer::new(&store, &NAMESPACES);
    let mut placement = Placement::default();
    see_namespaces(&mut placement, namespaces.next().await);
    // All are known before the first decision, or the first pods would all fit nowhere.
    see_nodes(&mut placement, nodes.next().await);
    see_pods(&mut placement, pods.next().await);
    loop {
        // A look before every decision: one that failed because of a change must not be made again
        // before the change is known.
        tokio::select! {
            biased;
            seen = nodes.next() => see_nodes(&mut placement, seen),
            seen = namespaces.next() => see_namespaces(&mut placement, seen),
            seen = pods.next() => see_pods(&mut placement, seen),
            () = ready(()), if placement.has_open() => {}
        }
        let decisions = placement.decide(ROUND).into_iter();
        let carried_out = decisions.map(|decision| carry_out(&store, decision));
        let failed: Vec<Arc<str>> = join_all(carried_out).await.into_iter().flatten().collect();
        for pod in &failed {
            // What was assumed did not come true.
            match store.get(pod) {
                Some(current) => see_pod(&mut placement, &current),
                None => placement.pod_gone(pod),
            }
        }
        if !failed.is_empty() {
            // A store that has stopped refuses at once and for ever: without a pause here nobody
            // could end this task.
            yield_now().await;
        }
    }
}

fn see_nodes(placement: &mut Placement, seen: Seen) {
    match seen {
        Seen::All(nodes) => {
            placement.forget_nodes();
            for node in nodes {
                placement.node(&node.value());
            }
        }
        Seen::Changes(events) => {
            for event in events {
                match event.kind {
                    EventKind::Deleted => placement.node_gone(event.object.name()),
                    _ => placement.node(&event.object.value()),
                }
            }
        }
    }
}

fn see_namespaces(placement: &mut Placement, seen: Seen) {
    match seen {
        Seen::All(namespaces) => {
            for namespace in namespaces {
                placement.namespace(&namespace.value());
            }
        }
        Seen::Changes(events) => {
            for event in events {
                match event.kind {
                    EventKind::Deleted => placement.namespace_gone(event.object.name()),
                    _ => placement.namespace(&event.object.value()),
                }
            }
        }
    }
}

fn see_pods(placement: &mut Placement, seen: Seen) {
    match seen {
        Seen::All(pods) => {
            placement.forget_pods();
            for pod in pods {
                see_pod(placement, &pod);
            }
        }
        Seen::Changes(events) => {
            for event in events {
                match event.kind {
                    EventKind::Deleted => placement.pod_gone(&event.object.key),
                    _ => see_pod(placement, &event.object),
                }
            }
        }
    }
}

fn see_pod(placement: &mut Placement, pod: &StoredObject) {
    let finished = matches!(pod.field("status.phase"), "Succeeded" | "Failed");
    match pod.field("spec.nodeName") {
        _ if finished => placement.pod_gone(&pod.key),
        "" if pod.field("spec.schedulerName") != COMPONENT => placement.pod_gone(&pod.key),
        "" => placement.pod_pending(&pod.key, &read(pod)),
        // What a pod needs does not change, and reading it costs.
        node if placement.knows(&pod.key, node, pod.labels()) => {}
        node => placement.pod_placed(&pod.key, node, Needs::of(&read(pod))),
    }
}

/// As much of a pod as placing it takes: half of the text is about who set which field.
fn read(pod: &StoredObject) -> Value {
    const READ: [&str; 6] = [
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/labels",
        "/metadata/deletionTimestamp",
        "/spec",
        "/status/phase",
    ];
    static FIELDS: LazyLock<Fields> = LazyLock::new(|| Fields::at(READ));
    pod.pick(&FIELDS)
}

/// The pod's key if the decision could not be carried out.
async fn carry_out(store: &Store, decision: Decision) -> Option<Arc<str>> {
    match decision {
        Decision::Bind { pod, node } => {
            let (key, to) = (pod.clone(), node.clone());
            let bound = store
                .write(move |view| {
                    let current = view.get(&key).ok_or_else(|| gone(&key))?;
                    if view.get(&NODES.key("", &node)).is_none() {
                        return Err(ApiError::not_found(&NODES, &node));
                    }
                    bind(&current, &node)
                })
                .await;
            let Some(bound) = note("bind a pod", bound) else {
                return Some(pod);
            };
            let (namespace, name) = (bound.namespace(), bound.name());
            let record = Record {
                kind: "Normal",
                reason: "Scheduled",
                message: format!("Successfully assigned {namespace}/{name} to {to}"),
                component: COMPONENT,
            };
            event_record::record(store, &bound, record).await;
            None
        }
        Decision::Unfit { pod, message } => {
            report_unfit(store, &pod, message).await;
            None
        }
    }
}

/// Says on the pod and in an event why it fits nowhere.
async fn report_unfit(store: &Store, key: &Arc<str>, message: String) {
    let before = store.get(key).map(|pod| pod.revision);
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": &message,
        "lastProbeTime": null,
    });
    let key = key.clone();
    let written = store
        .write(move |view| {
            let pod = view.get(&key).ok_or_else(|| gone(&key))?;
            let mut value = pod.value();
            let now = object::timestamp(Timestamp::now());
            Ok(match object::set_condition(&mut value, condition, &now) {
                false => Change::Keep(pod),
                true => Change::Put {
                    resource: &PODS,
                    value,
                },
            })
        })
        .await;
    let Some(pod) = note("report an unschedulable pod", written) else {
        return;
    };
    if Some(pod.revision) != before {
        let record = Record {
            kind: "Warning",
            reason: "FailedScheduling",
            message,
            component: COMPONENT,
        };
        event_record::record(store, &pod, record).await;
    }
}

fn gone(key: &str) -> ApiError {
    ApiError::not_found(&PODS, key.rsplit('/').next().unwrap_or(key))
}
