//! Daemon sets: one pod on each node that suits, bound by the scheduler like any other.
//!
//! Which pods to make and to delete is decided by `plan`; the templates a set had are kept as
//! ControllerRevisions by `history`.

mod history;
mod plan;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::placement::{Needs, Node};
use super::pod_view::PodView;
use super::workload::{AGAIN, Kind, Outcome, Workload, number};
use super::{template, write};
use crate::server::kinds::daemon_set::{DAEMON_SETS, TEMPLATE_GENERATION};
use crate::server::kinds::node::NODES;
use crate::server::kinds::pod::{self, PODS};
use crate::server::object;
use crate::server::status::ApiError;
use crate::server::store::{Event, Store};
use plan::{Daemon, Limits, Plan, Suits};

pub static KIND: Kind = Kind {
    workloads: &DAEMON_SETS,
    dependents: &PODS,
    component: "daemonset-controller",
    other: Some((&NODES, of_node)),
    sync,
};

const HASH: &str = "controller-revision-hash";

/// All sets are concerned by a node that changes in what decides who may run on it; none by a
/// heartbeat.
fn of_node(_: &Store, event: &Event) -> Option<Vec<Arc<str>>> {
    let same = event
        .previous
        .as_ref()
        .is_some_and(|previous| Node::of(&previous.value()) == Node::of(&event.object.value()));
    let deleted = event.kind == crate::server::store::EventKind::Deleted;
    (same && !deleted).then(Vec::new)
}

fn sync<'a>(store: &'a Store, set: &'a Workload) -> BoxFuture<'a, Outcome> {
    async move {
        let mut outcome = Outcome::default();
        let now = Timestamp::now();
        let Some(hash) = history::keep(store, set).await else {
            outcome.again_in(AGAIN);
            return outcome;
        };
        let (nodes, _) = store.list(&NODES.prefix(None));
        let nodes: Vec<Node> = nodes.iter().map(|node| Node::of(&node.value())).collect();
        let needs = Needs::of(&plain_pod(set, None, &hash));
        let suits = nodes
            .iter()
            .map(|node| (node.name.clone(), suits(node, &needs)));
        let suits = suits.collect();
        let daemons = daemons(set, &hash, now, &mut outcome);
        let limits = Limits::of(&set.value, plan::desired(&suits));
        let plan = plan::next(&suits, &daemons, &limits);
        let failed = carry_out(store, set, &hash, &plan, &mut outcome).await;
        if failed {
            outcome.again_in(AGAIN);
        }
        let status = plan::status(&suits, &daemons);
        set.set_status(store, whole_status(set, status)).await;
        outcome
    }
    .boxed()
}

/// The status with what only the object knows, and without zeros where Go leaves them out.
fn whole_status(set: &Workload, mut status: Value) -> Value {
    status["observedGeneration"] = number(&set.value, "/metadata/generation").into();
    let always = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
    ];
    if let Some(map) = status.as_object_mut() {
        map.retain(|key, value| always.contains(&key.as_str()) || *value != 0);
    }
    status
}

/// Whether the set's pods are to be on a node, and whether those that are there may stay
/// (`NodeShouldRunDaemonPod`).
fn suits(node: &Node, needs: &Needs) -> Suits {
    if !needs.selects(&node.name, &node.labels) {
        return Suits::No;
    }
    match node.repels(needs) {
        None => Suits::Yes,
        Some(true) => Suits::No,
        Some(false) => Suits::MayStay,
    }
}

/// The set's pods in the order of age, the oldest first.
fn daemons(set: &Workload, hash: &str, now: Timestamp, outcome: &mut Outcome) -> Vec<Daemon> {
    let min_ready = set.number("/spec/minReadySeconds");
    let mut daemons: Vec<Daemon> = set
        .dependents
        .iter()
        .enumerate()
        .map(|(place, pod)| {
            let view = PodView::of(&pod.value);
            if let Some(left) = view.available_in(min_ready, now) {
                outcome.again_in(left);
            }
            Daemon {
                place,
                node: target(&pod.value),
                terminating: object::is_terminating(&pod.value),
                failed: object::text(&pod.value, "/status/phase") == "Failed",
                finished: pod::is_finished(&pod.value),
                ready: view.is_ready(),
                available: view.is_available(min_ready, now),
                current: pod.object.label(HASH) == Some(hash),
                scheduled: !view.node.is_empty(),
            }
        })
        .collect();
    daemons.sort_by_cached_key(|daemon| {
        let value = &set.dependents[daemon.place].value;
        let created = object::text(value, "/metadata/creationTimestamp").to_owned();
        (!daemon.scheduled, created, daemon.place)
    });
    daemons
}

/// The node a pod is on, or is made for (`GetTargetNodeName`).
fn target(pod: &Value) -> String {
    let node = object::text(pod, "/spec/nodeName");
    if !node.is_empty() {
        return node.to_owned();
    }
    let pointer = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                   /nodeSelectorTerms/0/matchFields/0/values/0";
    object::text(pod, pointer).to_owned()
}

/// Deletes first, so that a pod that is exchanged is not in its successor's way. Whether anything
/// failed.
async fn carry_out(
    store: &Store,
    set: &Workload,
    hash: &str,
    plan: &Plan,
    outcome: &mut Outcome,
) -> bool {
    let mut failed = false;
    let deletions = plan.delete.iter().map(|place| {
        let pod = &set.dependents[*place];
        async move { (pod, write::delete(store, &pod.object).await) }
    });
    for (pod, deleted) in join_all(deletions).await {
        if deleted.is_err() {
            failed |= !matches!(deleted, Err(ApiError::NotFound { .. }));
            continue;
        }
        if object::text(&pod.value, "/status/phase") == "Failed" {
            let message = format!(
                "Found failed daemon pod {}/{} on node {}, will try to kill it",
                pod.object.namespace(),
                pod.object.name(),
                target(&pod.value)
            );
            set.tell(store, "Warning", "FailedDaemonPod", message).await;
        }
        let message = format!("Deleted pod: {}", pod.object.name());
        set.tell(store, "Normal", "SuccessfulDelete", message).await;
    }
    let creations = plan.create.iter().map(|node| {
        let pod = plain_pod(set, Some(node), hash);
        write::create_owned(store, &PODS, pod, &set.object)
    });
    for created in join_all(creations).await {
        match created {
            Ok(pod) => {
                let message = format!("Created pod: {}", pod.name());
                set.tell(store, "Normal", "SuccessfulCreate", message).await;
                outcome.made.push(pod);
            }
            Err(ApiError::NotFound { .. }) => {}
            Err(error) => {
                let message = format!("Error creating: {error}");
                set.tell(store, "Warning", "FailedCreate", message).await;
                failed = true;
            }
        }
    }
    failed
}

/// A pod of the set for a node, or for any.
fn plain_pod(set: &Workload, node: Option<&str>, hash: &str) -> Value {
    let mut pod = template::pod(&set.object, &set.value["spec"]["template"]);
    let labels = object::map(&mut pod["metadata"], "labels");
    labels.insert(HASH.into(), hash.into());
    let generation = &set.value["metadata"]["annotations"][TEMPLATE_GENERATION];
    if !generation.is_null() {
        labels.insert("pod-template-generation".into(), generation.clone());
    }
    tolerate(&mut pod);
    let Some(node) = node else {
        return pod;
    };
    // Pinned beside what the template asks for, which the node has been found to fulfil.
    let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
    let affinity = object::map(&mut pod["spec"], "affinity");
    let mut of_nodes = affinity.remove("nodeAffinity").unwrap_or_else(|| json!({}));
    of_nodes["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
    affinity.insert("nodeAffinity".into(), of_nodes);
    pod
}

/// What every daemon tolerates (`AddOrUpdateDaemonPodTolerations`).
fn tolerate(pod: &mut Value) {
    let host_network = pod.pointer("/spec/hostNetwork") == Some(&Value::Bool(true));
    let mut all = object::list(pod, "/spec/tolerations").to_vec();
    for (key, effect) in [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
        ("network-unavailable", "NoSchedule"),
    ] {
        let toleration = json!({
            "key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect,
        });
        if !all.contains(&toleration) && (key != "network-unavailable" || host_network) {
            all.push(toleration);
        }
    }
    pod["spec"]["tolerations"] = all.into();
}
