//! What others have put into a namespace that may lead packets for pods elsewhere: rules, which come
//! before any route, and routes into the pods' ranges. Told as `ip rule` and `ip route` tell it.

use std::fmt::Write;

use ipnetwork::IpNetwork;
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::plan::PROTOCOL;

use super::observe::{gateway, ip};
use super::socket::Socket;

const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];
/// Priority and table of what the kernel begins with (`fib_default_rules_init`).
const KERNELS_RULES: [(u32, u32); 3] = [(0, 255), (32766, 254), (32767, 253)];

/// Of a family that cannot be asked for there is nothing.
pub fn strangers(socket: &mut Socket, ranges: &[IpNetwork]) -> Vec<String> {
    let mut found = Vec::new();
    for family in FAMILIES {
        let mut request = RuleMessage::default();
        request.header.family = family;
        let answers = socket.dump("list rules", &RouteNetlinkMessage::GetRule(request));
        let rules = answers
            .into_iter()
            .flatten()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRule(message) => rule(&message),
                _ => None,
            });
        found.extend(rules);
    }
    for family in FAMILIES {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        let answers = socket.dump("list routes", &RouteNetlinkMessage::GetRoute(request));
        let routes = answers
            .into_iter()
            .flatten()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(message) => route(&message, ranges),
                _ => None,
            });
        found.extend(routes);
    }
    found
}

/// `None`: it is the kernel's own.
fn rule(message: &RuleMessage) -> Option<String> {
    let (header, mut selectors) = (&message.header, String::new());
    let (mut priority, mut table) = (0, u32::from(header.table));
    for attribute in &message.attributes {
        // Writing to a text does not fail.
        let _ = match attribute {
            RuleAttribute::Priority(number) => {
                priority = *number;
                Ok(())
            }
            RuleAttribute::Table(number) => {
                table = *number;
                Ok(())
            }
            RuleAttribute::Source(ip) => write!(selectors, " from {ip}/{}", header.src_len),
            RuleAttribute::Destination(ip) => write!(selectors, " to {ip}/{}", header.dst_len),
            RuleAttribute::Iifname(name) => write!(selectors, " iif {name}"),
            RuleAttribute::Oifname(name) => write!(selectors, " oif {name}"),
            RuleAttribute::FwMark(mark) => write!(selectors, " fwmark {mark:#x}"),
            _ => Ok(()),
        };
    }
    if selectors.is_empty() && KERNELS_RULES.contains(&(priority, table)) {
        return None;
    }
    let does = match header.action {
        RuleAction::ToTable => format!("lookup {table}"),
        action => format!("{action:?}").to_lowercase(),
    };
    Some(format!("the rule {priority}:{selectors} {does}"))
}

/// `None`: it is ours or the kernel's, or leads to no pod.
fn route(message: &RouteMessage, ranges: &[IpNetwork]) -> Option<String> {
    let header = &message.header;
    if [RouteProtocol::Kernel, RouteProtocol::Other(PROTOCOL)].contains(&header.protocol) {
        return None;
    }
    let (mut to, mut table) = (None, u32::from(header.table));
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    let to = IpNetwork::new(to?, header.destination_prefix_length).ok()?;
    let is_in = |range: &IpNetwork| range.contains(to.ip()) && range.prefix() <= to.prefix();
    if !ranges.iter().any(is_in) {
        return None;
    }
    let via = gateway(&message.attributes).map_or_else(String::new, |via| format!(" via {via}"));
    let place = match table == u32::from(RouteHeader::RT_TABLE_MAIN) {
        true => String::new(),
        false => format!(" table {table}"),
    };
    let kind = format!("{:?}", header.kind).to_lowercase();
    Some(format!("the {kind} route {to}{via}{place}"))
}
