//! Addresses on the underlay: the lab's own gateway and one per node.
//!
//! A node's addresses follow from its position, which it keeps for as long as
//! it is in the lab, so that neither its MAC nor anybody's route to it changes
//! when others come and go.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::TopologyError;
use crate::ipam;
use crate::model::{ClusterRanges, Family, NodeCidrs, Slot};

const DEFAULT_V4: &str = "172.30.0.0/16";
const DEFAULT_V6: &str = "fd00:172:30::/64";
/// The first node is `.11`: below are the gateway and room for what else the
/// underlay may get.
const FIRST_NODE: u32 = 11;

/// One network of every family the cluster has, in the cluster's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underlay(Vec<IpNetwork>);

impl Underlay {
    /// # Errors
    /// Host bits, two networks of one family, an overlap with the cluster
    /// ranges, or a family of theirs that is missing.
    pub(super) fn resolve(
        wanted: Option<&[IpNetwork]>,
        ranges: &ClusterRanges,
    ) -> Result<Underlay, TopologyError> {
        let networks = match wanted {
            Some(wanted) => wanted.to_vec(),
            None => {
                let default = |family| match family {
                    Family::V4 => DEFAULT_V4.parse().ok(),
                    Family::V6 => DEFAULT_V6.parse().ok(),
                };
                let families = ranges.pools().iter().map(|pool| pool.family());
                families.filter_map(default).collect()
            }
        };
        NodeCidrs::new(networks.clone())?;
        ranges.disjoint_from("underlay", &networks)?;
        let underlay = Underlay(networks);
        for pool in ranges.pools() {
            if underlay.network(pool.family()).is_none() {
                return Err(TopologyError::UnderlayLacks {
                    family: pool.family(),
                    underlay: underlay.to_string(),
                });
            }
        }
        Ok(underlay)
    }

    pub fn networks(&self) -> &[IpNetwork] {
        &self.0
    }

    pub fn has(&self, family: Family) -> bool {
        self.network(family).is_some()
    }

    /// The lab's own addresses, where its API server listens.
    pub fn gateways(&self) -> Vec<IpNetwork> {
        self.with_prefix(Slot::GATEWAY)
    }

    /// The addresses of the node at `position`, counted from 0; empty past the
    /// end of a network.
    pub fn node_addresses(&self, position: u32) -> Vec<IpNetwork> {
        match position.checked_add(FIRST_NODE).and_then(Slot::new) {
            Some(slot) => self.with_prefix(slot),
            None => Vec::new(),
        }
    }

    /// # Errors
    /// If some network has no address for a node at `count - 1`.
    pub(super) fn hold(&self, count: usize) -> Result<(), TopologyError> {
        for network in &self.0 {
            let alone = NodeCidrs::new(vec![*network])?;
            let holds = ipam::slot_capacity(&alone).saturating_sub(FIRST_NODE - 2);
            if count > holds as usize {
                return Err(TopologyError::TooManyNodes {
                    what: "underlay",
                    range: *network,
                    holds,
                    wanted: count,
                    remedy: "use a wider one",
                });
            }
        }
        Ok(())
    }

    fn network(&self, family: Family) -> Option<IpNetwork> {
        let of_family = |network: &&IpNetwork| Family::of(network.ip()) == family;
        self.0.iter().find(of_family).copied()
    }

    fn with_prefix(&self, slot: Slot) -> Vec<IpNetwork> {
        let address = |network: &IpNetwork| {
            let ip: IpAddr = ipam::address(*network, slot)?;
            IpNetwork::new(ip, network.prefix()).ok()
        };
        self.0.iter().filter_map(address).collect()
    }
}

impl fmt::Display for Underlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(IpNetwork::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_have_addresses_up_to_the_last() {
        let underlay = Underlay(vec!["192.168.0.0/28".parse().expect("a network")]);
        assert_eq!(underlay.gateways()[0].to_string(), "192.168.0.1/28");
        assert_eq!(underlay.node_addresses(0)[0].to_string(), "192.168.0.11/28");
        assert_eq!(underlay.node_addresses(3)[0].to_string(), "192.168.0.14/28");
        assert!(underlay.node_addresses(4).is_empty());
        assert!(underlay.hold(4).is_ok());
        assert!(underlay.hold(5).is_err());
    }
}
