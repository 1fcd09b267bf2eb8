//! One change to the kernel. It prints itself as the command that does the same.

use std::fmt;

use ipnetwork::IpNetwork;

use crate::model::{LinkName, Mac, Slot};

use super::state::{DEAD_GROUP, Neighbour, PROTOCOL, Route, Sysctl};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    SetSysctl(Sysctl),
    /// A bridge that was born with its MTU would take its ports' from the first
    /// that comes or goes on (net/bridge/br_if.c, br_mtu_auto_adjust).
    CreateBridge {
        name: LinkName,
        mac: Mac,
        mtu_bytes: u32,
    },
    SetMac(LinkName, Mac),
    SetMtu(LinkName, u32),
    SetUp(LinkName),
    AddAddress(LinkName, IpNetwork),
    DeleteAddress(LinkName, IpNetwork),
    /// Plug a port (back) into the bridge.
    SetMaster {
        port: Slot,
        bridge: LinkName,
    },
    SetPortUp(Slot),
    SetHairpin(Slot),
    /// Adds the entry or mends the one that is there.
    SetNeighbour(Neighbour),
    DeleteNeighbour(Neighbour),
    /// Fails if another route to the same destination stands there.
    AddRoute(Route),
    /// New way in, then old way out: the destination is never without a route.
    MoveRoute {
        from: Route,
        to: Route,
    },
    DeleteRoute(Route),
    /// Free the name and address of a port that is not committed; the link itself is reaped later.
    Retire(Slot),
    DeleteBridge(LinkName),
}

/// In the order in which it is to be applied.
pub type Plan = Vec<Op>;

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::SetSysctl(Sysctl { key, value }) => write!(f, "sysctl -q -w {key}={value}"),
            Op::CreateBridge {
                name,
                mac,
                mtu_bytes,
            } => write!(
                f,
                "ip link add {name} address {mac} type bridge && ip link set {name} mtu {mtu_bytes} up"
            ),
            Op::SetMac(link, mac) => write!(f, "ip link set {link} address {mac}"),
            Op::SetMtu(link, mtu_bytes) => write!(f, "ip link set {link} mtu {mtu_bytes}"),
            Op::SetUp(link) => write!(f, "ip link set {link} up"),
            Op::AddAddress(link, address) => {
                let nodad = if address.is_ipv6() { " nodad" } else { "" };
                write!(f, "ip address add {address} dev {link}{nodad}")
            }
            Op::DeleteAddress(link, address) => write!(f, "ip address delete {address} dev {link}"),
            Op::SetMaster { port, bridge } => write!(f, "ip link set {port} master {bridge}"),
            Op::SetPortUp(port) => write!(f, "ip link set {port} up"),
            Op::SetHairpin(port) => write!(f, "ip link set {port} type bridge_slave hairpin on"),
            Op::SetNeighbour(n) => write!(
                f,
                "ip neighbour replace {} lladdr {} dev {} nud permanent protocol {PROTOCOL}",
                n.address, n.mac, n.device
            ),
            Op::DeleteNeighbour(n) => {
                write!(f, "ip neighbour delete {} dev {}", n.address, n.device)
            }
            Op::AddRoute(route) => write!(f, "ip route add {}", Way(route)),
            Op::MoveRoute { from, to } => write!(
                f,
                "ip route append {} && ip route delete {}",
                Way(to),
                Way(from)
            ),
            Op::DeleteRoute(route) => write!(f, "ip route delete {}", Way(route)),
            Op::Retire(port) => write!(
                f,
                "ip link set {port} down group {DEAD_GROUP} && ip link delete group {DEAD_GROUP}"
            ),
            Op::DeleteBridge(name) => write!(f, "ip link delete {name}"),
        }
    }
}

struct Way<'a>(&'a Route);

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Route {
            destination,
            via,
            device,
        } = self.0;
        write!(f, "{destination} via {via} dev {device} proto {PROTOCOL}")
    }
}
