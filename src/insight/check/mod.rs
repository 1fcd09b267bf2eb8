//! Does the fabric do what it promises? Ask it, rather than the objects.
//!
//! Every ordered pair of endpoints (pods and nodes) is tried with ICMP and TCP
//! in every family they share, over sockets made inside the namespaces; and
//! what must hold at rest is read from the kernel: see [`invariants`]. Runs
//! inside the lab, where the pods' processes can be seen.

mod gather;
mod icmp;
mod invariants;
mod tcp;

pub use gather::{Endpoint, Fabric, GatherError, NodeState, gather};
pub use icmp::ping_all;
pub use invariants::Invariant;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio::task::JoinError;

use crate::model::Family;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Icmp,
    Tcp,
}

/// One try from one endpoint to an address of another. `error` is `None` if
/// the answer came, and came to the right source address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    pub from: String,
    pub to: String,
    pub address: IpAddr,
    pub protocol: Protocol,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub endpoints: Vec<String>,
    pub probes: Vec<Probe>,
    pub invariants: Vec<Invariant>,
    /// What may be why a pair failed, though it breaks no promise by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Report {
    pub fn holds(&self) -> bool {
        self.failed_probes().next().is_none() && self.invariants.iter().all(Invariant::holds)
    }

    pub fn failed_probes(&self) -> impl Iterator<Item = &Probe> {
        self.probes.iter().filter(|probe| probe.error.is_some())
    }

    /// The pairs with at least one failed probe.
    pub fn failed_pairs(&self) -> BTreeSet<(&str, &str)> {
        self.failed_probes()
            .map(|probe| (probe.from.as_str(), probe.to.as_str()))
            .collect()
    }
}

/// Try everything. A pair that does not answer costs its timeout of a second,
/// but pairs are tried many at a time.
///
/// # Errors
/// A probe that was lost: then nobody can tell.
pub async fn check(fabric: &Fabric) -> Result<Report, JoinError> {
    let endpoints: Arc<[Endpoint]> = Arc::clone(&fabric.endpoints);
    let mut probes = icmp::probe(Arc::clone(&endpoints)).await?;
    probes.extend(tcp::probe(&endpoints).await?);
    let names: Vec<String> = endpoints.iter().map(|e| e.name.clone()).collect();
    sort(&names, &mut probes);
    Ok(Report {
        hints: hints(fabric, &probes),
        endpoints: names,
        probes,
        invariants: invariants::all(fabric),
    })
}

/// As the endpoints are, whichever answered first.
fn sort(endpoints: &[String], probes: &mut [Probe]) {
    let places = endpoints.iter().enumerate();
    let places: BTreeMap<&str, usize> = places.map(|(at, name)| (name.as_str(), at)).collect();
    let place = |name: &str| places.get(name).copied();
    probes.sort_by_key(|probe| {
        let pair = (place(&probe.from), place(&probe.to));
        (pair, probe.protocol, probe.address)
    });
}

/// What strangers have put on the nodes of the pairs that failed.
fn hints(fabric: &Fabric, probes: &[Probe]) -> Vec<String> {
    let failed = probes.iter().filter(|probe| probe.error.is_some());
    let failed: BTreeSet<&str> = failed
        .flat_map(|probe| [probe.from.as_str(), probe.to.as_str()])
        .collect();
    let is_there = |node: &&NodeState| {
        let mut here = fabric.endpoints.iter().filter(|e| e.node == node.view.name);
        here.any(|e| failed.contains(e.name.as_str()))
    };
    let nodes = fabric.nodes.iter().filter(is_there);
    nodes
        .flat_map(|node| {
            let name = &node.view.name;
            let has = move |stranger| format!("node {name} has {stranger}, which is not podnet's");
            node.strangers.iter().map(has)
        })
        .collect()
}

/// Every address of `to` that `from` has a family in common with.
fn targets<'a>(from: &'a Endpoint, to: &'a Endpoint) -> impl Iterator<Item = IpAddr> + 'a {
    let shared = |ip: &&IpAddr| {
        let family = Family::of(**ip);
        from.addresses
            .iter()
            .any(|mine| Family::of(*mine) == family)
    };
    to.addresses.iter().filter(shared).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_in_the_order_of_their_endpoints() {
        let probe = |from: &str, to: &str, protocol| Probe {
            from: from.to_owned(),
            to: to.to_owned(),
            address: IpAddr::from([10, 0, 0, 1]),
            protocol,
            error: None,
        };
        let sorted = [
            probe("node-2", "node-10", Protocol::Icmp),
            probe("node-2", "node-10", Protocol::Tcp),
            probe("node-2", "a/web", Protocol::Icmp),
            probe("node-10", "node-2", Protocol::Icmp),
            probe("a/web", "node-2", Protocol::Icmp),
        ];
        let mut probes = sorted.to_vec();
        probes.reverse();
        sort(
            &["node-2", "node-10", "a/web"].map(str::to_owned),
            &mut probes,
        );
        assert_eq!(probes, sorted);
    }
}
