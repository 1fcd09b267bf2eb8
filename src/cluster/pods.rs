//! Pod objects: what they ask of a node, and what a node answers.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::model::PodName;

use super::client::{ApiError, is_conflict, is_not_found, timely};
use super::nodes::seconds;

const MAX_HOSTNAME: usize = 63;

/// What a Pod object asks of the node it is bound to.
#[derive(Clone, Debug, PartialEq)]
pub struct PodView {
    pub pod: PodName,
    pub uid: String,
    /// Where it is bound to; `None` before it is.
    pub node: Option<String>,
    /// `status.phase`, empty before it has one.
    pub phase: String,
    /// The pod's host name: `spec.hostname`, else its name.
    pub hostname: String,
    /// It lives in its node's own network.
    pub host_network: bool,
    /// `Some`: it is being deleted, with this grace period.
    pub deletion_grace_seconds: Option<i64>,
    /// Succeeded or Failed: it asks nothing any more.
    pub finished: bool,
    /// What it had before, if anything: a hint on where to look first.
    pub address: Option<IpAddr>,
    /// All of it, but for what only other writers need.
    pub object: Arc<Pod>,
}

/// What a node says about one of its pods.
#[derive(Clone, Debug, PartialEq)]
pub struct PodReport {
    pub state: PodState,
    pub host_addresses: Vec<IpAddr>,
    /// When the node first saw the pod.
    pub started: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub enum PodState {
    /// Not there yet: reason (CamelCase) and message.
    Waiting(&'static str, String),
    /// The sandbox has its addresses, primary family first.
    There {
        addresses: Vec<IpAddr>,
        containers: Arc<ContainersReport>,
    },
}

/// What there is to say of a pod's containers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainersReport {
    pub phase: &'static str,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub init_containers: Vec<ContainerStatus>,
    pub containers: Vec<ContainerStatus>,
    /// Those that a node writes; the others stay as they are.
    pub conditions: Vec<PodCondition>,
}

impl PodView {
    /// Whether its node is to have it.
    pub fn is_wanted(&self) -> bool {
        self.node.is_some() && !self.finished && self.deletion_grace_seconds.is_none()
    }

    /// Whether its node is to have a link for it.
    pub fn wants_link(&self) -> bool {
        self.is_wanted() && !self.host_network
    }

    fn status(&self) -> Option<&PodStatus> {
        self.object.status.as_ref()
    }

    /// How often a container of it was started again.
    pub fn restarts(&self) -> i32 {
        let statuses = self.status().and_then(|s| s.container_statuses.as_deref());
        let counts = statuses.into_iter().flatten().map(|s| s.restart_count);
        counts.sum()
    }

    /// When its node first saw it, as the object says.
    pub fn started(&self) -> Option<Timestamp> {
        Some(self.status()?.start_time.as_ref()?.0)
    }

    /// Whether the object says this already.
    pub fn says(&self, report: &PodReport) -> bool {
        let PodState::There {
            addresses,
            containers,
        } = &report.state
        else {
            return false;
        };
        let Some(status) = self.status() else {
            return false;
        };
        let conditions = status.conditions.as_deref().unwrap_or_default();
        status.phase.as_deref() == Some(containers.phase)
            && self.address.as_ref() == addresses.first()
            && status.container_statuses.as_deref() == Some(&containers.containers)
            && status
                .init_container_statuses
                .as_deref()
                .unwrap_or_default()
                == containers.init_containers
            && containers.conditions.iter().all(|c| conditions.contains(c))
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
    let status = pod.status.as_ref();
    let phase = status.and_then(|s| s.phase.clone()).unwrap_or_default();
    let mut object = pod.clone();
    object.metadata.managed_fields = None;
    Ok(PodView {
        hostname: hostname(spec.hostname.as_deref().unwrap_or(&name.name)),
        host_network: spec.host_network == Some(true),
        deletion_grace_seconds: pod
            .metadata
            .deletion_timestamp
            .as_ref()
            .map(|_| pod.metadata.deletion_grace_period_seconds.unwrap_or(0)),
        finished: matches!(phase.as_str(), "Succeeded" | "Failed"),
        node: spec.node_name.clone().filter(|node| !node.is_empty()),
        phase,
        address: status.and_then(|s| s.pod_ip.as_ref()?.parse().ok()),
        object: Arc::new(object),
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

/// Write a pod's status. A pod that is gone, or was replaced, is no error.
pub async fn report(client: &Client, pod: &PodView, report: &PodReport) -> Result<(), ApiError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.pod.namespace);
    let patch = json!({
        "metadata": {"uid": pod.uid},
        "status": status(pod, report, Timestamp::now()),
    });
    let params = PatchParams::default();
    match timely(pods.patch_status(&pod.pod.name, &params, &Patch::Strategic(patch))).await {
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
    let mut status = json!({
        "startTime": seconds(report.started),
        "hostIP": report.host_addresses.first(),
        "hostIPs": whole(&report.host_addresses),
    });
    match &report.state {
        PodState::There {
            addresses,
            containers,
        } => {
            status["podIP"] = json!(addresses.first());
            status["podIPs"] = whole(addresses);
            status["phase"] = json!(containers.phase);
            status["reason"] = json!(containers.reason);
            status["message"] = json!(containers.message);
            status["containerStatuses"] = json!(containers.containers);
            if !containers.init_containers.is_empty() {
                status["initContainerStatuses"] = json!(containers.init_containers);
            }
            status["conditions"] = json!(conditions(&containers.conditions));
        }
        PodState::Waiting(reason, message) => {
            let condition = |kind: &&str| PodCondition {
                type_: (*kind).to_owned(),
                status: "False".to_owned(),
                reason: Some((*reason).to_owned()),
                message: Some(message.clone()),
                last_transition_time: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                    now,
                )),
                ..PodCondition::default()
            };
            let kinds = ["PodReadyToStartContainers", "Ready", "ContainersReady"];
            let conditions: Vec<PodCondition> = kinds.iter().map(condition).collect();
            status["podIP"] = Value::Null;
            status["podIPs"] = Value::Null;
            status["conditions"] = json!(self::conditions(&conditions));
            let waiting = waiting_containers(pod, reason, message);
            status["containerStatuses"] = json!(waiting);
        }
    }
    status
}

/// In place of the list that is there, with which a strategic merge patch would merge it.
fn whole(ips: &[IpAddr]) -> Value {
    let ips = ips.iter().map(|ip| json!({"ip": ip}));
    std::iter::once(json!({"$patch": "replace"}))
        .chain(ips)
        .collect()
}

/// Merged with those that others write, by their type. What one does not say (any more) is null.
fn conditions(ours: &[PodCondition]) -> Vec<Value> {
    let full = |condition: &PodCondition| {
        let mut full = json!({"reason": null, "message": null});
        if let (Some(full), Value::Object(said)) = (full.as_object_mut(), json!(condition)) {
            full.extend(said);
        }
        full
    };
    ours.iter().map(full).collect()
}

/// What is known of its containers, none of which is there.
fn waiting_containers(pod: &PodView, reason: &str, message: &str) -> Vec<Value> {
    let known = pod.status().and_then(|s| s.container_statuses.as_ref());
    let containers = pod.object.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .map(|container| {
            let known = known.and_then(|all| all.iter().find(|c| c.name == container.name));
            let mut status = known.cloned().unwrap_or_else(|| ContainerStatus {
                name: container.name.clone(),
                image: container.image.clone().unwrap_or_default(),
                ..ContainerStatus::default()
            });
            status.ready = false;
            status.started = Some(false);
            let ran = status
                .state
                .as_ref()
                .is_some_and(|s| s.terminated.is_some() || s.running.is_some());
            let mut status = json!(status);
            if !ran {
                status["state"] = json!({"waiting": {"reason": reason, "message": message}});
            }
            status
        })
        .collect()
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
}
