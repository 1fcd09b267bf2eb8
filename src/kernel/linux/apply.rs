//! One step of a plan, over netlink.

use netlink_packet_core::{NLM_F_APPEND, NLM_F_EXCL};
use rtnetlink::LinkUnspec;

use crate::kernel::KernelError;
use crate::plan::{Op, Route};

use super::attach;
use super::message::{self, index_of};
use super::socket::{Request, Socket};
use super::sysctl;

pub fn apply(socket: &mut Socket, op: &Op) -> Result<(), KernelError> {
    let request = match op {
        Op::SetSysctl(sysctl) => return sysctl::write(sysctl.key, sysctl.value),
        Op::Retire(port) => return attach::expire(socket, *port),
        Op::MoveRoute { from, to } => return move_route(socket, from, to),
        Op::CreateBridge {
            name,
            mac,
            mtu_bytes,
        } => {
            socket.request(message::create_bridge(name, *mac))?;
            message::start_bridge(name, *mtu_bytes)
        }
        Op::SetMac(link, mac) => message::set_link(
            format!("set the MAC of {link}"),
            LinkUnspec::new_with_name(link.as_str())
                .address(mac.bytes().to_vec())
                .build(),
        ),
        Op::SetMtu(link, mtu_bytes) => message::set_link(
            format!("set the MTU of {link} to {mtu_bytes}"),
            LinkUnspec::new_with_name(link.as_str())
                .mtu(*mtu_bytes)
                .build(),
        ),
        Op::SetUp(link) => up(link.as_str()),
        Op::SetPortUp(port) => up(&port.link_name()),
        Op::AddAddress(link, network) => {
            let index = index_of(socket, link.as_str())?;
            message::add_address(index, link.as_str(), *network, NLM_F_EXCL)
        }
        Op::DeleteAddress(link, network) => {
            let index = index_of(socket, link.as_str())?;
            Request::new(
                format!("delete address {network} from {link}"),
                netlink_packet_route::RouteNetlinkMessage::DelAddress(message::address(
                    index, *network,
                )),
                0,
            )
        }
        Op::SetMaster { port, bridge } => {
            let bridge_index = index_of(socket, bridge.as_str())?;
            message::set_link(
                format!("plug {port} into {bridge}"),
                LinkUnspec::new_with_name(&port.link_name())
                    .controller(bridge_index)
                    .build(),
            )
        }
        Op::SetHairpin(port) => message::set_hairpin(&port.link_name()),
        Op::SetNeighbour(n) => {
            let index = index_of(socket, n.device.as_str())?;
            message::set_neighbour(index, n.address, n.mac)
        }
        Op::DeleteNeighbour(n) => {
            let index = index_of(socket, n.device.as_str())?;
            message::delete_neighbour(index, n.address)
        }
        Op::AddRoute(route) => {
            let index = index_of(socket, route.device.as_str())?;
            add(route, index, NLM_F_EXCL)
        }
        Op::DeleteRoute(route) => {
            let index = index_of(socket, route.device.as_str())?;
            delete(route, index)
        }
        Op::DeleteBridge(name) => message::delete_link(name.as_str()),
    };
    socket.request(request)
}

fn up(link: &str) -> Request {
    message::set_link(
        format!("set {link} up"),
        LinkUnspec::new_with_name(link).up().build(),
    )
}

fn move_route(socket: &mut Socket, from: &Route, to: &Route) -> Result<(), KernelError> {
    let new_index = index_of(socket, to.device.as_str())?;
    let old_index = index_of(socket, from.device.as_str())?;
    socket.request(add(to, new_index, NLM_F_APPEND))?;
    socket.request(delete(from, old_index))
}

fn add(route: &Route, index: u32, flags: u16) -> Request {
    message::add_route(
        format!("add a route to {} via {}", route.destination, route.via),
        message::route(index, route.destination, route.via),
        flags,
    )
}

/// The protocol, gateway and device are part of what is matched, so that this
/// never takes a stranger's route to the same destination.
fn delete(route: &Route, index: u32) -> Request {
    message::delete_route(
        format!(
            "delete the route to {} via {}",
            route.destination, route.via
        ),
        message::route(index, route.destination, route.via),
    )
}
