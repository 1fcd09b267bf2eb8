//! The two sides of a plan: what a node's kernel should hold, and what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::model::{LinkName, Mac, NodeCidrs, PodName, Slot};

/// The bridge every pod of a node is plugged into.
pub const BRIDGE: &str = "cbr0";
/// [`BRIDGE`] as a name.
pub const BRIDGE_NAME: LinkName = LinkName::constant(BRIDGE);
/// So that deleting a stranger's IPv4 address from the bridge does not take ours
/// along, which Linux does when the stranger's was there first (`inet_del_ifa`).
pub const PROMOTE_SECONDARIES: &str = "net.ipv4.conf.cbr0.promote_secondaries";
/// A bridge without an IPv6 address has no use for IPv6, and would believe what
/// a pod says in router advertisements.
pub const BRIDGE_WITHOUT_IPV6: &str = "net.ipv6.conf.cbr0.disable_ipv6";
/// Our number in `rtm_protocol` and `NDA_PROTOCOL`: what carries it is ours,
/// what does not is never touched. Unassigned in linux/rtnetlink.h.
pub const PROTOCOL: u8 = 112;
/// The link group of live attachments ("pd").
pub const GROUP: u32 = 0x7064;
/// The link group of detached links that wait to be deleted together.
pub const DEAD_GROUP: u32 = 0x7065;

/// What the node's kernel should hold. Complete: whatever is ours and is not
/// in here is to go. Ports follow from what is observed (see [`super::diff`]),
/// since a port is born with its pod and not by a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// `None`: this node has no range (any more), so the bridge is to go.
    pub bridge: Option<Bridge>,
    pub sysctls: BTreeSet<Sysctl>,
    pub routes: BTreeSet<Route>,
    /// Permanent entries for the other nodes; those for pods follow from ports.
    pub neighbours: BTreeSet<Neighbour>,
    /// Ports that were begun, never committed, and have had their time.
    pub expired: BTreeSet<Slot>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    pub name: LinkName,
    pub mac: Mac,
    pub mtu_bytes: u32,
    pub cidrs: NodeCidrs,
}

/// A setting below `/proc/sys`: `net.ipv4.ip_forward` and the value it needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sysctl {
    pub key: &'static str,
    pub value: &'static str,
}

/// A route to another node's range, in the main table, with [`PROTOCOL`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub destination: IpNetwork,
    pub via: IpAddr,
    pub device: LinkName,
}

/// A permanent neighbour entry with [`PROTOCOL`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    pub address: IpAddr,
    pub mac: Mac,
    pub device: LinkName,
}

/// What the node's kernel holds of what is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// `None`: there is no bridge of our name.
    pub bridge: Option<ObservedBridge>,
    pub ports: BTreeMap<Slot, Port>,
    pub sysctls: BTreeMap<&'static str, String>,
    pub routes: BTreeSet<Route>,
    pub neighbours: BTreeSet<Neighbour>,
    /// Links in [`DEAD_GROUP`].
    pub dead_links: usize,
    /// The link that carries one of the node's addresses; `None` if none does.
    pub uplink: Option<Uplink>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedBridge {
    pub mac: Mac,
    pub mtu_bytes: u32,
    pub up: bool,
    /// Without link-local ones, which the kernel makes by itself.
    pub addresses: BTreeSet<IpNetwork>,
}

/// The node's end of a pod's veth pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    pub on_bridge: bool,
    pub up: bool,
    pub hairpin: bool,
    /// Whose it is, from the link's alias. It is set last, together with up and
    /// hairpin, so `None` means that the attachment is in flight.
    pub pod: Option<PodName>,
    /// Of the pod's interface, where the alias says it; `None`: it follows from the
    /// slot.
    pub mac: Option<Mac>,
    /// The alternative name, `<containerID>.<ifname>`.
    pub attachment: Option<String>,
}

/// The link that leads to the other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    pub device: LinkName,
    pub mac: Option<Mac>,
    pub mtu_bytes: u32,
}
