//! What must hold at rest, whoever sends what.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::cluster::PodView;
use crate::ipam;
use crate::model::Slot;
use crate::plan::{BRIDGE_NAME, NodeConfig, Peer, desired, diff};

use super::{Fabric, NodeState};

/// A promise, and every way in which it is broken.
#[derive(Debug, Serialize)]
pub struct Invariant {
    pub name: &'static str,
    pub broken: Vec<String>,
}

impl Invariant {
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }
}

pub fn all(fabric: &Fabric) -> Vec<Invariant> {
    let invariant = |name, broken| Invariant { name, broken };
    vec![
        invariant(
            "every node has a range, and no two overlap",
            disjoint(fabric),
        ),
        invariant("one route per peer and family", routes(fabric)),
        invariant("every node is as planned", planned(fabric)),
        invariant("no address twice", unique(fabric)),
        invariant(
            "no link without its pod, no pod without its link",
            links(fabric),
        ),
    ]
}

fn disjoint(fabric: &Fabric) -> Vec<String> {
    let mut broken = Vec::new();
    for (i, node) in fabric.nodes.iter().enumerate() {
        let Some(cidrs) = &node.view.cidrs else {
            broken.push(format!("node {} has no range", node.view.name));
            continue;
        };
        for other in &fabric.nodes[i + 1..] {
            if other
                .view
                .cidrs
                .as_ref()
                .is_some_and(|theirs| theirs.overlaps(cidrs))
            {
                let (a, b) = (&node.view.name, &other.view.name);
                broken.push(format!("{cidrs} of node {a} overlaps that of node {b}"));
            }
        }
    }
    broken
}

fn routes(fabric: &Fabric) -> Vec<String> {
    let mut broken = Vec::new();
    for node in &fabric.nodes {
        for peer in fabric
            .nodes
            .iter()
            .filter(|p| p.view.name != node.view.name)
        {
            let reachable = peer.view.peer();
            for cidr in reachable.iter().flat_map(|peer| peer.cidrs.iter()) {
                let found = node
                    .observed
                    .routes
                    .iter()
                    .filter(|r| r.destination == cidr);
                let count = found.count();
                if count != 1 {
                    broken.push(format!(
                        "node {} has {count} routes to {cidr} of node {}",
                        node.view.name, peer.view.name
                    ));
                }
            }
        }
    }
    broken
}

/// The agent's own plan for the node must have no step left.
fn planned(fabric: &Fabric) -> Vec<String> {
    let mut broken = Vec::new();
    for node in &fabric.nodes {
        let (Some(cidrs), Some(uplink)) = (&node.view.cidrs, &node.observed.uplink) else {
            let name = &node.view.name;
            broken.push(format!("node {name} has no link with its address"));
            continue;
        };
        let config = NodeConfig {
            bridge: BRIDGE_NAME,
            cidrs: cidrs.clone(),
            uplink: uplink.clone(),
            static_neighbours: true,
        };
        let others = fabric
            .nodes
            .iter()
            .filter(|o| o.view.name != node.view.name);
        let peers: Vec<Peer> = others.filter_map(|other| other.view.peer()).collect();
        let (wanted, _) = desired(&config, &peers);
        for op in diff(&wanted, &node.observed) {
            broken.push(format!("node {} is short of: {op}", node.view.name));
        }
    }
    broken
}

fn unique(fabric: &Fabric) -> Vec<String> {
    let mut holders: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
    for pod in fabric.pods.iter().filter(|pod| pod.wants_link()) {
        if let Some(ip) = pod.address {
            holders
                .entry(ip)
                .or_default()
                .push(format!("pod {}", pod.pod));
        }
    }
    for node in &fabric.nodes {
        let gateways = node
            .view
            .cidrs
            .iter()
            .flat_map(ipam::gateways)
            .map(|n| n.ip());
        for ip in node.view.addresses.iter().copied().chain(gateways) {
            holders
                .entry(ip)
                .or_default()
                .push(format!("node {}", node.view.name));
        }
    }
    holders
        .into_iter()
        .filter(|(_, who)| who.len() > 1)
        .map(|(ip, who)| format!("{ip} is held by {}", who.join(" and ")))
        .collect()
}

fn links(fabric: &Fabric) -> Vec<String> {
    let mut broken = Vec::new();
    for node in &fabric.nodes {
        let name = &node.view.name;
        for (slot, port) in &node.observed.ports {
            let Some(pod) = &port.pod else {
                broken.push(format!(
                    "node {name}: link {slot} was begun and never finished"
                ));
                continue;
            };
            let id = port.attachment.as_deref().unwrap_or_default();
            let alive = |(_, uid): &&(_, String)| id.starts_with(&format!("{uid}-"));
            if node.sandboxes.iter().find(alive).is_none() {
                broken.push(format!(
                    "node {name}: link {slot} is of pod {pod}, which is not there"
                ));
            }
        }
    }
    for pod in fabric.pods.iter().filter(|pod| pod.wants_link()) {
        broken.extend(unplugged(fabric, pod));
    }
    broken
}

fn unplugged(fabric: &Fabric, pod: &PodView) -> Option<String> {
    let is_its = |node: &&NodeState| Some(node.view.name.as_str()) == pod.node.as_deref();
    let Some(node) = fabric.nodes.iter().find(is_its) else {
        let node = pod.node.as_deref().unwrap_or("none");
        return Some(format!(
            "pod {} is bound to node {node}, which is not there",
            pod.pod
        ));
    };
    let begins = format!("{}-", pod.uid);
    let of_pod = |(slot, port): (&Slot, &crate::plan::Port)| {
        let id = port.attachment.as_deref()?;
        id.starts_with(&begins).then_some(*slot)
    };
    let name = &node.view.name;
    match node.observed.ports.iter().find_map(of_pod) {
        None => Some(format!(
            "pod {} is bound to node {name} and has no link there",
            pod.pod
        )),
        Some(slot) => {
            let held = ipam::addresses(node.view.cidrs.as_ref()?, slot)?;
            let said = pod.address?;
            (!held.contains(&said)).then(|| {
                let held: Vec<String> = held.iter().map(IpAddr::to_string).collect();
                format!(
                    "pod {} says {said} but its link {slot} is {}",
                    pod.pod,
                    held.join(" and ")
                )
            })
        }
    }
}
