//! What there is to check: nodes, pods, and the namespaces they live in.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use kube::Client;
use thiserror::Error;
use tokio::time::Instant;

use crate::cluster::{self, ApiError, NodeView, PodView};
use crate::insight::{NodeError, NodeKernel};
use crate::ipam;
use crate::lab::LabDir;
use crate::model::{NodeCidrs, NodeName, PodName};
use crate::plan::Observed;
use crate::pod::{FoundSandbox, find_sandboxes};

/// Between two looks at pods that are being started.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Error)]
pub enum GatherError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("the pods of node {node}: {source}")]
    Pods {
        node: NodeName,
        source: std::io::Error,
    },
}

/// A pod or a node: somewhere to send from and to.
pub struct Endpoint {
    pub name: String,
    /// The node it is, or is on.
    pub node: NodeName,
    /// Where it can be reached, one per family.
    pub addresses: Vec<IpAddr>,
    /// Every source address that others may see it with.
    pub sources: Vec<IpAddr>,
    pub netns: OwnedFd,
}

/// One node, as its object and its kernel describe it.
pub struct NodeState {
    pub view: NodeView,
    pub observed: Observed,
    /// Name and uid of every pod whose pause process is alive.
    pub sandboxes: Vec<(PodName, String)>,
    /// What others have put there that may lead packets for pods elsewhere.
    pub strangers: Vec<String>,
}

pub struct Fabric {
    pub nodes: Vec<NodeState>,
    pub pods: Vec<PodView>,
    pub endpoints: Arc<[Endpoint]>,
}

impl Fabric {
    /// Whether every pod that should be there can be tried.
    pub fn is_complete(&self) -> bool {
        let there = |pod: &PodView| {
            let name = pod.pod.to_string();
            self.endpoints.iter().any(|endpoint| endpoint.name == name)
        };
        self.pods.iter().filter(|pod| pod.wants_link()).all(there)
    }
}

/// Read everything that a check needs, in the lab's own PID namespace. Pods that
/// are just being started get until `deadline` to be there.
pub async fn gather(
    lab: &LabDir,
    client: &Client,
    deadline: Instant,
) -> Result<Fabric, GatherError> {
    loop {
        let fabric = gather_once(lab, client).await?;
        if fabric.is_complete() || Instant::now() >= deadline {
            return Ok(fabric);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn gather_once(lab: &LabDir, client: &Client) -> Result<Fabric, GatherError> {
    let views = cluster::list_nodes(client).await?;
    let pods = cluster::list_pods(client).await?;
    let wanted: BTreeSet<&str> = pods
        .iter()
        .filter(|pod| pod.wants_link())
        .map(|pod| pod.uid.as_str())
        .collect();
    let ranges = views.iter().filter_map(|view| view.cidrs.as_ref());
    let ranges: Vec<IpNetwork> = ranges.flat_map(NodeCidrs::iter).collect();
    let mut nodes = Vec::new();
    let mut endpoints = Vec::new();
    let mut pod_endpoints = Vec::new();
    for view in views {
        let Some(kernel) = NodeKernel::open(lab, &view.name)? else {
            continue;
        };
        let observed = kernel.observe(&view.addresses)?;
        let strangers = kernel.strangers(&ranges);
        let found = find_sandboxes(&lab.pods(&view.name)).map_err(|source| GatherError::Pods {
            node: view.name.clone(),
            source,
        })?;
        let of_pods = found.iter().filter(|s| wanted.contains(s.uid.as_str()));
        pod_endpoints.extend(of_pods.filter_map(|s| pod_endpoint(&view, &observed, s)));
        endpoints.push(node_endpoint(&view, kernel.into_netns()));
        nodes.push(NodeState {
            view,
            observed,
            sandboxes: found.into_iter().map(|s| (s.pod, s.uid)).collect(),
            strangers,
        });
    }
    pod_endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    endpoints.extend(pod_endpoints);
    Ok(Fabric {
        nodes,
        pods,
        endpoints: endpoints.into(),
    })
}

fn node_endpoint(view: &NodeView, netns: OwnedFd) -> Endpoint {
    let gateways = view.cidrs.iter().flat_map(ipam::gateways);
    let mut sources = view.addresses.clone();
    sources.extend(gateways.map(|network| network.ip()));
    Endpoint {
        name: view.name.to_string(),
        node: view.name.clone(),
        addresses: view.addresses.clone(),
        sources,
        netns,
    }
}

/// At the addresses that its link stands for, whatever its object says.
fn pod_endpoint(view: &NodeView, observed: &Observed, sandbox: &FoundSandbox) -> Option<Endpoint> {
    let begins = format!("{}-", sandbox.uid);
    let is_its = |id: &str| id.starts_with(&begins);
    let (slot, _) = observed
        .ports
        .iter()
        .find(|(_, port)| port.attachment.as_deref().is_some_and(is_its))?;
    let addresses = ipam::addresses(view.cidrs.as_ref()?, *slot)?;
    let netns = File::open(format!("/proc/{}/ns/net", sandbox.pid)).ok()?;
    Some(Endpoint {
        name: sandbox.pod.to_string(),
        node: view.name.clone(),
        sources: addresses.clone(),
        addresses,
        netns: netns.into(),
    })
}
