//! Pods.

use serde_json::{Value, json};

use super::{names, pod_defaults, pod_validation};
use crate::server::kinds::node::NODES;
use crate::server::object;
use crate::server::resource::{Resource, SelectableField, Strategy, Subresource};
use crate::server::store::View;
use crate::server::table::pod as table;

pub static PODS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "pods",
    singular: "pod",
    kind: "Pod",
    short_names: &["po"],
    categories: &["all"],
    namespaced: true,
    subresources: &[
        Subresource::Attach,
        Subresource::Binding,
        Subresource::Eviction,
        Subresource::Exec,
        Subresource::Log,
        Subresource::PortForward,
        Subresource::Status,
    ],
    fields: &[
        SelectableField {
            label: "spec.nodeName",
            pointer: "/spec/nodeName",
        },
        SelectableField {
            label: "status.phase",
            pointer: "/status/phase",
        },
        SelectableField {
            label: "status.podIP",
            pointer: "/status/podIP",
        },
        SelectableField {
            label: "spec.restartPolicy",
            pointer: "/spec/restartPolicy",
        },
        SelectableField {
            label: "spec.schedulerName",
            pointer: "/spec/schedulerName",
        },
    ],
    strategy: Strategy {
        unknown_fields: |pod| {
            super::unknown_fields_around::<k8s_openapi::api::core::v1::Pod>(pod, "/spec")
        },
        check_name: names::subdomain,
        tracks_generation: true,
        default: pod_defaults::fill_pod,
        prepare_create,
        prepare_update: super::keep_update,
        validate: pod_validation::validate,
        grace,
        mark_terminating: super::keep,
        returns_deleted: true,
    },
    protobuf: &[],
    columns: table::COLUMNS,
    row: table::row,
};

/// Seconds a pod gets to stop when neither it nor the caller says.
const DEFAULT_GRACE_SECONDS: i64 = 30;

pub fn is_finished(pod: &Value) -> bool {
    matches!(object::text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn prepare_create(value: &mut Value) {
    value["status"] = json!({"phase": "Pending", "qosClass": pod_defaults::qos_class(value)});
    if !object::list(value, "/spec/schedulingGates").is_empty() {
        value["status"]["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": null,
        }]);
    }
}

/// A pod waits for its node's agent to stop it, where there is one and something to stop.
fn grace(pod: &Value, asked: Option<i64>, view: &View<'_>) -> Option<i64> {
    let node = object::text(pod, "/spec/nodeName");
    if node.is_empty() || is_finished(pod) || view.get(&NODES.key("", node)).is_none() {
        return None;
    }
    let own = pod
        .pointer("/spec/terminationGracePeriodSeconds")
        .and_then(Value::as_i64);
    let seconds = asked.or(own).unwrap_or(DEFAULT_GRACE_SECONDS);
    // A negative period means at once in Kubernetes, but still through the agent.
    match seconds {
        0 => None,
        seconds if seconds < 0 => Some(1),
        seconds => Some(seconds),
    }
}
