//! Replica sets: as many pods as they ask for, no more and no fewer.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::pod_view::PodView;
use super::workload::{AGAIN, Kind, Outcome, Workload, number};
use super::{template, write};
use crate::server::kinds::pod::PODS;
use crate::server::kinds::replica_set::REPLICA_SETS;
use crate::server::object;
use crate::server::status::ApiError;
use crate::server::store::{Store, StoredObject};

pub static KIND: Kind = Kind {
    workloads: &REPLICA_SETS,
    dependents: &PODS,
    component: "replicaset-controller",
    other: None,
    sync,
};

/// Pods created or deleted at a time (`BurstReplicas`).
const BURST: usize = 500;
/// Events told of at a time: beyond that they say nothing new.
const TOLD: usize = 10;

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Create(usize),
    /// By their place in the list.
    Delete(Vec<usize>),
}

fn sync<'a>(store: &'a Store, set: &'a Workload) -> BoxFuture<'a, Outcome> {
    async move {
        let now = Timestamp::now();
        let pods: Vec<PodView> = set
            .dependents
            .iter()
            .map(|pod| PodView::of(&pod.value))
            .collect();
        let mut outcome = Outcome::default();
        let failure = match plan(set.number("/spec/replicas"), &pods) {
            Plan::Create(count) => create(store, set, count, &mut outcome).await,
            Plan::Delete(places) => delete(store, set, &places).await,
        };
        if failure.is_some() {
            outcome.again_in(AGAIN);
        }
        let min_ready = set.number("/spec/minReadySeconds");
        for pod in pods.iter().filter(|pod| pod.active) {
            if let Some(left) = pod.available_in(min_ready, now) {
                outcome.again_in(left);
            }
        }
        set.set_status(store, status(set, &pods, failure, now))
            .await;
        outcome
    }
    .boxed()
}

fn plan(wanted: i64, pods: &[PodView]) -> Plan {
    let mut active: Vec<usize> = (0..pods.len())
        .filter(|place| pods[*place].active)
        .collect();
    let wanted = usize::try_from(wanted).unwrap_or(0);
    if active.len() <= wanted {
        return Plan::Create((wanted - active.len()).min(BURST));
    }
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for place in &active {
        *on_node.entry(&pods[*place].node).or_default() += 1;
    }
    active.sort_by(|a, b| {
        let (a, b) = (&pods[*a], &pods[*b]);
        let neighbours = (on_node[a.node.as_str()], on_node[b.node.as_str()]);
        a.goes_before(b, neighbours)
    });
    active.truncate((active.len() - wanted).min(BURST));
    Plan::Delete(active)
}

/// Creates pods; why that failed, if it did.
async fn create(
    store: &Store,
    set: &Workload,
    count: usize,
    outcome: &mut Outcome,
) -> Option<(&'static str, ApiError)> {
    let of = &set.value["spec"]["template"];
    let creations = (0..count).map(|_| {
        let pod = template::pod(&set.object, of);
        write::create_owned(store, &PODS, pod, &set.object)
    });
    let mut failure = None;
    for (index, created) in join_all(creations).await.into_iter().enumerate() {
        match created {
            Ok(pod) => {
                if index < TOLD {
                    let message = format!("Created pod: {}", pod.name());
                    set.tell(store, "Normal", "SuccessfulCreate", message).await;
                }
                outcome.made.push(pod);
            }
            // The set itself has gone meanwhile.
            Err(ApiError::NotFound { .. }) => {}
            Err(error) => failure = Some(("FailedCreate", error)),
        }
    }
    if let Some((reason, error)) = &failure {
        let message = format!("Error creating: {error}");
        set.tell(store, "Warning", reason, message).await;
    }
    failure
}

async fn delete(
    store: &Store,
    set: &Workload,
    places: &[usize],
) -> Option<(&'static str, ApiError)> {
    let pods: Vec<&Arc<StoredObject>> = places
        .iter()
        .map(|place| &set.dependents[*place].object)
        .collect();
    let deletions = pods.iter().map(|pod| write::delete(store, pod));
    let mut failure = None;
    for (index, (pod, deleted)) in pods.iter().zip(join_all(deletions).await).enumerate() {
        match deleted {
            Ok(_) if index < TOLD => {
                let message = format!("Deleted pod: {}", pod.name());
                set.tell(store, "Normal", "SuccessfulDelete", message).await;
            }
            Ok(_) | Err(ApiError::NotFound { .. }) => {}
            Err(error) => failure = Some(("FailedDelete", error)),
        }
    }
    failure
}

fn status(
    set: &Workload,
    pods: &[PodView],
    failure: Option<(&'static str, ApiError)>,
    now: Timestamp,
) -> Value {
    let min_ready = set.number("/spec/minReadySeconds");
    let labels = &set.value["spec"]["template"]["metadata"];
    let active = || {
        pods.iter()
            .zip(&set.dependents)
            .filter(|(pod, _)| pod.active)
    };
    let fully_labeled = active().filter(|(_, dependent)| {
        object::pairs(labels, "/labels")
            .all(|(key, value)| dependent.object.label(key) == Some(value))
    });
    let mut status = json!({
        "replicas": active().count(),
        "fullyLabeledReplicas": fully_labeled.count(),
        "readyReplicas": active().filter(|(pod, _)| pod.is_ready()).count(),
        "availableReplicas": active().filter(|(pod, _)| pod.is_available(min_ready, now)).count(),
        "observedGeneration": number(&set.value, "/metadata/generation"),
    });
    // As Go's `omitempty`.
    if let Some(map) = status.as_object_mut() {
        map.retain(|key, value| key == "replicas" || *value != 0);
    }
    if let Some((reason, error)) = failure {
        let mut failed = json!({"status": {"conditions": set.value["status"]["conditions"]}});
        let condition = json!({
            "type": "ReplicaFailure", "status": "True", "reason": reason,
            "message": error.to_string(),
        });
        object::set_condition(&mut failed, condition, &object::timestamp(now));
        status["conditions"] = failed["status"]["conditions"].take();
    }
    status
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pod((node, phase, ready, terminating): (Option<u8>, bool, bool, bool)) -> PodView {
        let mut pod = json!({
            "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": node.map_or(String::new(), |node| format!("n{node}"))},
            "status": {
                "phase": if phase { "Running" } else { "Pending" },
                "conditions": [{
                    "type": "Ready", "status": if ready { "True" } else { "False" },
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        });
        if terminating {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        PodView::of(&pod)
    }

    proptest! {
        #[test]
        fn there_are_as_many_afterwards_and_ready_ones_stay(
            wanted in 0_i64..12,
            pods in prop::collection::vec(
                (prop::option::of(0_u8..3), any::<bool>(), any::<bool>(), any::<bool>()), 0..12,
            ),
        ) {
            let pods: Vec<PodView> = pods.into_iter().map(pod).collect();
            let active = pods.iter().filter(|pod| pod.active).count();
            let wanted_count = usize::try_from(wanted).unwrap();
            match plan(wanted, &pods) {
                Plan::Create(count) => prop_assert_eq!(active + count, wanted_count),
                Plan::Delete(places) => {
                    prop_assert_eq!(active - places.len(), wanted_count);
                    let serves = |pod: &PodView| {
                        pod.is_ready() && pod.phase_is_running() && !pod.node.is_empty()
                    };
                    let kept_idle = (0..pods.len())
                        .filter(|place| pods[*place].active && !places.contains(place))
                        .any(|place| !serves(&pods[place]));
                    let lost_serving = places.iter().any(|place| serves(&pods[*place]));
                    prop_assert!(!(kept_idle && lost_serving));
                }
            }
        }
    }

    #[test]
    fn of_equal_pods_the_one_on_the_fuller_node_goes() {
        let pods = [0, 1, 1].map(|node| pod((Some(node), true, true, false)));
        let Plan::Delete(places) = plan(2, &pods) else {
            panic!("one is too many");
        };
        assert_eq!(pods[places[0]].node, "n1");
    }
}
