//! Node objects: what ours says, and what the others' mean.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::model::{Mac, NodeCidrs, NodeName, architecture};
use crate::plan::Peer;

use super::claims::owner;
use super::client::{ApiError, is_conflict, is_not_found, timely};

/// Carries the MAC of the node's uplink, for peers that want permanent neighbours.
const MAC_ANNOTATION: &str = "podnet.dev/mac";
const HEARTBEAT_NAMESPACE: &str = "kube-node-lease";
/// kubelet's `nodeLeaseDurationSeconds`.
const LEASE_SECONDS: i32 = 40;
/// kubelet's default `maxPods` is 110; a bridge takes 1,023 ports.
const MAX_PODS: u32 = 1023;

/// What a Node object says that matters to a fabric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    pub name: NodeName,
    pub uid: String,
    /// `None`: it has not got any yet.
    pub cidrs: Option<NodeCidrs>,
    /// Its InternalIP addresses.
    pub addresses: Vec<IpAddr>,
    pub mac: Option<Mac>,
    /// Its Ready condition; `None`: Unknown, or there is none.
    pub ready: Option<bool>,
}

impl NodeView {
    /// The node as somewhere to route to; `None` as long as it has no range, or,
    /// before its first status, no address.
    pub fn peer(&self) -> Option<Peer> {
        let cidrs = self.cidrs.clone()?;
        (!self.addresses.is_empty()).then(|| Peer {
            name: self.name.clone(),
            cidrs,
            addresses: self.addresses.clone(),
            mac: self.mac,
        })
    }
}

/// How our Node object is to look.
#[derive(Clone, Debug)]
pub struct Registration {
    pub name: NodeName,
    pub labels: BTreeMap<String, String>,
    pub addresses: Vec<IpAddr>,
    pub mac: Option<Mac>,
}

/// What the node's Ready condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Ready,
    /// Reason (CamelCase) and message.
    NotReady(&'static str, String),
}

/// # Errors
/// Says which field of the object is not as it must be.
pub fn node_view(node: &Node) -> Result<NodeView, String> {
    let name = NodeName::new(&node.name_any()).map_err(|error| error.to_string())?;
    let spec = node.spec.as_ref();
    let texts = spec
        .and_then(|spec| spec.pod_cidrs.clone())
        .unwrap_or_default();
    let cidrs: Result<Vec<IpNetwork>, _> = texts.iter().map(|text| text.parse()).collect();
    let cidrs = match cidrs {
        Ok(cidrs) if cidrs.is_empty() => None,
        Ok(cidrs) => Some(
            NodeCidrs::new(cidrs)
                .map_err(|error| format!("node {name}: spec.podCIDRs: {error}"))?,
        ),
        Err(error) => return Err(format!("node {name}: spec.podCIDRs: {error}")),
    };
    let status = node.status.as_ref();
    let addresses = status.and_then(|s| s.addresses.clone()).unwrap_or_default();
    Ok(NodeView {
        uid: node.uid().unwrap_or_default(),
        cidrs,
        addresses: addresses
            .iter()
            .filter(|address| address.type_ == "InternalIP")
            .filter_map(|address| address.address.parse().ok())
            .collect(),
        ready: status
            .and_then(|s| s.conditions.as_ref())
            .and_then(|all| all.iter().find(|condition| condition.type_ == "Ready"))
            .and_then(|ready| match ready.status.as_str() {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            }),
        mac: node
            .annotations()
            .get(MAC_ANNOTATION)
            .and_then(|text| Mac::parse(text)),
        name,
    })
}

/// Every node of the cluster that can be read.
pub async fn list_nodes(client: &Client) -> Result<Vec<NodeView>, ApiError> {
    let nodes = Api::<Node>::all(client.clone());
    let list = timely(nodes.list(&ListParams::default()))
        .await
        .map_err(ApiError::request("list the nodes"))?;
    Ok(list
        .iter()
        .filter_map(|node| node_view(node).ok())
        .collect())
}

/// Make our Node object, or bring its labels and annotations up to date.
pub async fn register(client: &Client, ours: &Registration) -> Result<NodeView, ApiError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let name = ours.name.as_str();
    let step = || ApiError::request(format!("register node {name}"));
    let object = Node {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels(ours)),
            annotations: ours
                .mac
                .map(|mac| [(MAC_ANNOTATION.to_owned(), mac.to_string())].into()),
            ..ObjectMeta::default()
        },
        ..Node::default()
    };
    let node = match timely(nodes.create(&PostParams::default(), &object)).await {
        Ok(node) => node,
        Err(error) if is_conflict(&error) => {
            let metadata = json!({"metadata": {
                "labels": object.metadata.labels,
                "annotations": object.metadata.annotations,
            }});
            let params = PatchParams::default();
            timely(nodes.patch(name, &params, &Patch::Merge(metadata)))
                .await
                .map_err(step())?
        }
        Err(error) => return Err(step()(error)),
    };
    node_view(&node).map_err(|reason| {
        let error = std::io::Error::other(reason);
        step()(kube::Error::Service(Box::new(error)))
    })
}

fn labels(ours: &Registration) -> BTreeMap<String, String> {
    let mut labels = ours.labels.clone();
    for (key, value) in [
        ("kubernetes.io/hostname", ours.name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

/// Write down the CIDRs that the node has claimed.
pub async fn set_pod_cidrs(
    client: &Client,
    node: &NodeName,
    cidrs: &NodeCidrs,
) -> Result<(), ApiError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let texts: Vec<String> = cidrs.iter().map(|cidr| cidr.to_string()).collect();
    let patch = json!({"spec": {"podCIDR": texts.first(), "podCIDRs": texts}});
    let params = PatchParams::default();
    timely(nodes.patch(node.as_str(), &params, &Patch::Merge(patch)))
        .await
        .map(drop)
        .map_err(ApiError::request(format!(
            "write spec.podCIDRs of node {node}"
        )))
}

/// Addresses, capacity, facts about the machine, and the Ready condition.
pub async fn set_status(
    client: &Client,
    ours: &Registration,
    health: &Health,
) -> Result<(), ApiError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let name = ours.name.as_str();
    let patch = json!({"status": status(ours, health, Timestamp::now())});
    let params = PatchParams::default();
    timely(nodes.patch_status(name, &params, &Patch::Merge(patch)))
        .await
        .map(drop)
        .map_err(ApiError::request(format!(
            "write the status of node {name}"
        )))
}

fn status(ours: &Registration, health: &Health, now: Timestamp) -> Value {
    let mut addresses: Vec<Value> = ours
        .addresses
        .iter()
        .map(|ip| json!({"type": "InternalIP", "address": ip}))
        .collect();
    addresses.push(json!({"type": "Hostname", "address": ours.name.as_str()}));
    let capacity = json!({
        "pods": MAX_PODS.to_string(),
        "cpu": cpus().to_string(),
        "memory": format!("{}Ki", memory_kib()),
    });
    json!({
        "addresses": addresses,
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [
            condition("NetworkUnavailable", health, now),
            condition("Ready", health, now),
        ],
        "nodeInfo": node_info(),
    })
}

fn condition(kind: &str, health: &Health, now: Timestamp) -> Value {
    let (ready, reason, message) = match health {
        Health::Ready => (
            true,
            "PodnetReady",
            "podnet has built the node's bridge and routes",
        ),
        Health::NotReady(reason, message) => (false, *reason, message.as_str()),
    };
    let holds = ready == (kind == "Ready");
    json!({
        "type": kind,
        "status": if holds { "True" } else { "False" },
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": seconds(now),
        "lastTransitionTime": seconds(now),
    })
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// `MemTotal` of /proc/meminfo; 0 where there is none.
fn memory_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let number = total.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn node_info() -> Value {
    let version = concat!("v", env!("CARGO_PKG_VERSION"), "+podnet");
    let read = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.trim().to_owned()
    };
    let release = read("/etc/os-release");
    let pretty = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(String::new, |name| name.trim_matches('"').to_owned());
    json!({
        "architecture": architecture(),
        "operatingSystem": "linux",
        "osImage": pretty,
        "kernelVersion": read("/proc/sys/kernel/osrelease"),
        "kubeletVersion": version,
        "kubeProxyVersion": "",
        "containerRuntimeVersion": concat!("podnet://", env!("CARGO_PKG_VERSION")),
        "bootID": read("/proc/sys/kernel/random/boot_id"),
        "machineID": read("/etc/machine-id"),
        "systemUUID": "",
    })
}

/// The condition NetworkUnavailable alone, beside what a kubelet writes.
pub async fn set_network(
    client: &Client,
    node: &NodeName,
    health: &Health,
) -> Result<(), ApiError> {
    const KIND: &str = "NetworkUnavailable";
    let nodes: Api<Node> = Api::all(client.clone());
    let step = || ApiError::request(format!("write the network condition of node {node}"));
    loop {
        let found = timely(nodes.get(node.as_str())).await.map_err(step())?;
        let status = found.status.clone().unwrap_or_default();
        let others = status.conditions.unwrap_or_default().into_iter();
        let mut conditions: Vec<Value> = others
            .filter(|condition| condition.type_ != KIND)
            .filter_map(|condition| serde_json::to_value(condition).ok())
            .collect();
        conditions.push(condition(KIND, health, Timestamp::now()));
        // With the version it was read at: whoever wrote in between is not undone.
        let patch = json!({
            "metadata": {"resourceVersion": found.resource_version()},
            "status": {"conditions": conditions},
        });
        let params = PatchParams::default();
        match timely(nodes.patch_status(node.as_str(), &params, &Patch::Merge(patch))).await {
            Err(error) if is_conflict(&error) => {}
            written => return written.map(drop).map_err(step()),
        }
    }
}

/// Renew the node's Lease in kube-node-lease, making it if need be.
pub async fn heartbeat(client: &Client, node: &NodeName, uid: &str) -> Result<(), ApiError> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), HEARTBEAT_NAMESPACE);
    let step = || ApiError::request(format!("renew the lease of node {node}"));
    let renew_time = MicroTime(Timestamp::now());
    let patch = json!({"spec": {"renewTime": renew_time}});
    let params = PatchParams::default();
    match timely(leases.patch(node.as_str(), &params, &Patch::Merge(patch))).await {
        Ok(_) => return Ok(()),
        Err(error) if is_not_found(&error) => {}
        Err(error) => return Err(step()(error)),
    }
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(node.to_string()),
            owner_references: Some(vec![owner(node, uid)]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.to_string()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(renew_time),
            ..LeaseSpec::default()
        }),
    };
    match timely(leases.create(&PostParams::default(), &lease)).await {
        Err(error) if !is_conflict(&error) => Err(step()(error)),
        _ => Ok(()),
    }
}

/// RFC 3339 in whole seconds, as metav1.Time is written.
pub(super) fn seconds(time: Timestamp) -> String {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    whole.to_string()
}
