//! From what the cluster says to what this node's kernel should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::ipam;
use crate::model::{Family, LinkName, Mac, NodeCidrs, NodeName, Slot};

use super::state::{
    BRIDGE_WITHOUT_IPV6, Bridge, Desired, Neighbour, PROMOTE_SECONDARIES, Route, Sysctl, Uplink,
};

/// This node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub bridge: LinkName,
    pub cidrs: NodeCidrs,
    pub uplink: Uplink,
    /// Permanent entries for the other nodes' addresses, from the MACs they
    /// publish. For networks where a node's MAC never moves, as in a lab.
    pub static_neighbours: bool,
}

/// Another node, as its Node object describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: NodeName,
    pub cidrs: NodeCidrs,
    /// Internal addresses; at most the first of each family counts.
    pub addresses: Vec<IpAddr>,
    pub mac: Option<Mac>,
}

/// What keeps a peer, or one family of it, out of the plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complaint {
    /// Its range overlaps this node's own, or that of a peer before it.
    Overlap {
        peer: NodeName,
        cidrs: NodeCidrs,
        with: String,
    },
    /// It has a range of a family in which it has no address.
    NoAddress { peer: NodeName, cidr: IpNetwork },
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Complaint::Overlap { peer, cidrs, with } => write!(
                f,
                "node {peer}: its range {cidrs} overlaps that of {with}; no route to it is installed"
            ),
            Complaint::NoAddress { peer, cidr } => write!(
                f,
                "node {peer}: it has range {cidr} but no internal {} address to route it to",
                Family::of(cidr.ip())
            ),
        }
    }
}

/// Every peer gets one route per family. A peer whose range overlaps another's
/// gets none and a [`Complaint`]; peers are taken in the order of their names.
pub fn desired(node: &NodeConfig, peers: &[Peer]) -> (Desired, Vec<Complaint>) {
    let mut complaints = Vec::new();
    let mut state = Desired {
        bridge: bridge(node),
        sysctls: sysctls(&node.cidrs),
        ..Desired::default()
    };
    let by_name: BTreeMap<&NodeName, &Peer> = peers.iter().map(|peer| (&peer.name, peer)).collect();
    let mut taken: Vec<(&NodeCidrs, String)> = vec![(&node.cidrs, "this node".to_owned())];
    for peer in by_name.values() {
        if let Some((_, with)) = taken.iter().find(|(cidrs, _)| cidrs.overlaps(&peer.cidrs)) {
            complaints.push(Complaint::Overlap {
                peer: peer.name.clone(),
                cidrs: peer.cidrs.clone(),
                with: with.clone(),
            });
            continue;
        }
        taken.push((&peer.cidrs, format!("node {}", peer.name)));
        reach(node, peer, &mut state, &mut complaints);
    }
    (state, complaints)
}

fn reach(node: &NodeConfig, peer: &Peer, state: &mut Desired, complaints: &mut Vec<Complaint>) {
    for cidr in peer.cidrs.iter() {
        let family = Family::of(cidr.ip());
        let Some(via) = peer.addresses.iter().find(|ip| Family::of(**ip) == family) else {
            complaints.push(Complaint::NoAddress {
                peer: peer.name.clone(),
                cidr,
            });
            continue;
        };
        state.routes.insert(Route {
            destination: cidr,
            via: *via,
            device: node.uplink.device.clone(),
        });
        // Of two peers that claim one address, the first has it.
        let taken = state.neighbours.iter().any(|n| n.address == *via);
        if let (true, false, Some(mac)) = (node.static_neighbours, taken, peer.mac) {
            state.neighbours.insert(Neighbour {
                address: *via,
                mac,
                device: node.uplink.device.clone(),
            });
        }
    }
}

fn bridge(node: &NodeConfig) -> Option<Bridge> {
    Some(Bridge {
        name: node.bridge.clone(),
        mac: ipam::mac(&node.cidrs, Slot::GATEWAY)?,
        mtu_bytes: node.uplink.mtu_bytes,
        cidrs: node.cidrs.clone(),
    })
}

fn sysctls(cidrs: &NodeCidrs) -> BTreeSet<Sysctl> {
    let per_family = [
        (Family::V4, "net.ipv4.ip_forward"),
        (Family::V4, PROMOTE_SECONDARIES),
        (Family::V6, "net.ipv6.conf.all.forwarding"),
    ];
    let mut all: BTreeSet<Sysctl> = per_family
        .into_iter()
        .filter(|(family, _)| cidrs.has(*family))
        .map(|(_, key)| Sysctl { key, value: "1" })
        .collect();
    all.insert(Sysctl {
        key: BRIDGE_WITHOUT_IPV6,
        value: if cidrs.has(Family::V6) { "0" } else { "1" },
    });
    all
}
