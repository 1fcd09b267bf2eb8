//! Pod objects: what they ask of a node, and what a node answers.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::model::PodName;

use super::client::{ApiError, is_conflict, is_not_found, timely};
use super::nodes::seconds;

/// What runs as the pod's own pause process, with or without a tag.
pub const PAUSE_IMAGES: [&str; 2] = ["pause", "registry.k8s.io/pause"];

const MAX_HOSTNAME: usize = 63;
/// Container ids begin with it.
const RUNTIME: &str = "podnet://";

/// What a Pod object asks of the node it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    pub pod: PodName,
    pub uid: String,
    /// Where it is bound to; `None` before it is.
    pub node: Option<String>,
    /// `status.phase`, empty before it has one.
    pub phase: String,
    /// The pod's host name: `spec.hostname`, else its name.
    pub hostname: String,
    pub containers: Vec<ContainerView>,
    /// `Some`: it is being deleted, with this grace period.
    pub deletion_grace_seconds: Option<i64>,
    /// Succeeded or Failed: it asks nothing any more.
    pub finished: bool,
    /// What it had before, if anything: a hint on where to look first.
    pub address: Option<IpAddr>,
    /// As last reported, without its scheme.
    pub container_id: Option<String>,
    pub restarts: i32,
    /// Every condition but those that [`report`] writes.
    conditions: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerView {
    pub name: String,
    pub image: String,
}

/// What a node says about one of its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodReport {
    pub state: PodState,
    pub host_addresses: Vec<IpAddr>,
    /// When the node first saw the pod.
    pub started: Timestamp,
    pub restarts: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodState {
    /// Not there yet: reason (CamelCase) and message.
    Waiting(&'static str, String),
    /// The sandbox has its addresses, primary family first.
    Running {
        container_id: String,
        addresses: Vec<IpAddr>,
        since: Timestamp,
    },
}

impl PodView {
    /// Whether its node is to have it.
    pub fn is_wanted(&self) -> bool {
        self.node.is_some() && !self.finished && self.deletion_grace_seconds.is_none()
    }
}

/// # Errors
/// Says which field is missing.
pub fn pod_view(pod: &Pod) -> Result<PodView, String> {
    let namespace = pod.namespace().ok_or("a pod without a namespace")?;
    let name = PodName::new(&namespace, &pod.name_any());
    let uid = pod.uid().ok_or_else(|| format!("pod {name} has no uid"))?;
    let spec = pod
        .spec
        .as_ref()
        .ok_or_else(|| format!("pod {name} has no spec"))?;
    let status = pod.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    let statuses = status.container_statuses.unwrap_or_default();
    let written = ["Initialized", "ContainersReady", "Ready"];
    let kept = status.conditions.unwrap_or_default().into_iter();
    Ok(PodView {
        hostname: hostname(spec.hostname.as_deref().unwrap_or(&name.name)),
        containers: spec
            .containers
            .iter()
            .map(|container| ContainerView {
                name: container.name.clone(),
                image: container.image.clone().unwrap_or_default(),
            })
            .collect(),
        deletion_grace_seconds: pod
            .metadata
            .deletion_timestamp
            .as_ref()
            .map(|_| pod.metadata.deletion_grace_period_seconds.unwrap_or(0)),
        finished: matches!(phase.as_str(), "Succeeded" | "Failed"),
        node: spec.node_name.clone().filter(|node| !node.is_empty()),
        phase,
        address: status.pod_ip.and_then(|ip| ip.parse().ok()),
        container_id: statuses
            .iter()
            .find_map(|s| s.container_id.as_ref()?.strip_prefix(RUNTIME))
            .map(str::to_owned),
        restarts: statuses.iter().map(|s| s.restart_count).max().unwrap_or(0),
        conditions: kept
            .filter(|condition| !written.contains(&condition.type_.as_str()))
            .filter_map(|condition| serde_json::to_value(condition).ok())
            .collect(),
        uid,
        pod: name,
    })
}

/// A host name has 64 characters at most (sethostname(2)), a pod's name 253: it
/// is cut as the kubelet cuts it, at 63 and never behind a '-' or '.'.
pub fn hostname(name: &str) -> String {
    let cut = name.get(..MAX_HOSTNAME).unwrap_or(name);
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// Every pod of the cluster that can be read.
pub async fn list_pods(client: &Client) -> Result<Vec<PodView>, ApiError> {
    let pods = Api::<Pod>::all(client.clone());
    let list = timely(pods.list(&ListParams::default()))
        .await
        .map_err(ApiError::request("list the pods"))?;
    Ok(list.iter().filter_map(|pod| pod_view(pod).ok()).collect())
}

/// `registry.k8s.io/pause:3.10` is one, `nginx` is not.
pub fn is_pause_image(image: &str) -> bool {
    let slash = image.rfind('/').map_or(0, |at| at + 1);
    let name_end = image[slash..]
        .find([':', '@'])
        .map_or(image.len(), |at| slash + at);
    PAUSE_IMAGES.contains(&&image[..name_end])
}

/// Write a pod's status. A pod that is gone, or was replaced, is no error.
pub async fn report(client: &Client, pod: &PodView, report: &PodReport) -> Result<(), ApiError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.pod.namespace);
    let patch = json!({
        "metadata": {"uid": pod.uid},
        "status": status(pod, report, Timestamp::now()),
    });
    let params = PatchParams::default();
    match timely(pods.patch_status(&pod.pod.name, &params, &Patch::Merge(patch))).await {
        Err(error) if !is_not_found(&error) && !is_conflict(&error) => Err(ApiError::request(
            format!("write the status of pod {}", pod.pod),
        )(error)),
        _ => Ok(()),
    }
}

/// Take the object away once nothing of the pod is left on the node.
pub async fn delete_pod(client: &Client, pod: &PodName, uid: &str) -> Result<(), ApiError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match timely(pods.delete(&pod.name, &params)).await {
        Err(error) if !is_not_found(&error) && !is_conflict(&error) => {
            Err(ApiError::request(format!("delete pod {pod}"))(error))
        }
        _ => Ok(()),
    }
}

fn status(pod: &PodView, report: &PodReport, now: Timestamp) -> Value {
    let statuses: Vec<Value> = pod
        .containers
        .iter()
        .map(|container| container_status(container, report))
        .collect();
    let ready = statuses.iter().all(|s| s["ready"] == json!(true));
    let mut conditions = pod.conditions.clone();
    for (kind, holds) in [
        (
            "Initialized",
            matches!(report.state, PodState::Running { .. }),
        ),
        ("ContainersReady", ready),
        ("Ready", ready),
    ] {
        let mut condition = json!({
            "type": kind,
            "status": if holds { "True" } else { "False" },
            "lastTransitionTime": seconds(now),
        });
        if !holds && let PodState::Waiting(reason, message) = &report.state {
            condition["reason"] = json!(reason);
            condition["message"] = json!(message);
        }
        conditions.push(condition);
    }
    let addresses: &[IpAddr] = match &report.state {
        PodState::Running { addresses, .. } => addresses,
        PodState::Waiting(..) => &[],
    };
    let list = |ips: &[IpAddr]| -> Vec<Value> { ips.iter().map(|ip| json!({"ip": ip})).collect() };
    json!({
        "phase": if ready { "Running" } else { "Pending" },
        "startTime": seconds(report.started),
        "hostIP": report.host_addresses.first(),
        "hostIPs": list(&report.host_addresses),
        "podIP": addresses.first(),
        "podIPs": list(addresses),
        "conditions": conditions,
        "containerStatuses": statuses,
    })
}

fn container_status(container: &ContainerView, report: &PodReport) -> Value {
    let waiting =
        |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
    let mut id = json!("");
    let state = match &report.state {
        PodState::Waiting(reason, message) => waiting(reason, message),
        PodState::Running { .. } if !is_pause_image(&container.image) => waiting(
            "ErrImagePull",
            &format!(
                "no image {:?} on this node: it knows {}; name one of them",
                container.image,
                PAUSE_IMAGES.join(" and ")
            ),
        ),
        PodState::Running {
            container_id,
            since,
            ..
        } => {
            id = json!(format!("{RUNTIME}{container_id}"));
            json!({"running": {"startedAt": seconds(*since)}})
        }
    };
    let running = state.get("running").is_some();
    json!({
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "containerID": id,
        "ready": running,
        "started": running,
        "restartCount": report.restarts,
        "state": state,
        "lastState": {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_cut_as_the_kubelet_cuts_them() {
        assert_eq!(hostname("web"), "web");
        let long = format!("{}-{}", "x".repeat(62), "y".repeat(100));
        assert_eq!(hostname(&long), "x".repeat(62));
    }

    #[test]
    fn pause_images_are_known_by_name_whatever_their_tag() {
        for image in [
            "pause",
            "pause:3.9",
            "registry.k8s.io/pause:3.10",
            "registry.k8s.io/pause@sha256:00",
        ] {
            assert!(is_pause_image(image), "{image}");
        }
        for image in [
            "nginx",
            "pauses",
            "example.com:5000/pause",
            "registry.k8s.io/pause/x",
            "",
        ] {
            assert!(!is_pause_image(image), "{image}");
        }
    }
}
