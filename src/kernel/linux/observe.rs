//! Reading a namespace: what of it is ours.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoBridgePort, InfoKind, InfoPortData, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo,
    LinkMessage, Prop,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::LinkUnspec;

use crate::kernel::{KernelError, PodRoute, Refusal};
use crate::model::{LinkName, Mac, PodName, Slot};
use crate::plan::{
    BRIDGE, BRIDGE_WITHOUT_IPV6, DEAD_GROUP, GROUP, Neighbour, Observed, ObservedBridge,
    PROMOTE_SECONDARIES, PROTOCOL, Port, Route, Uplink,
};

use super::socket::Socket;
use super::sysctl;

/// Every sysctl that a plan may set.
const SYSCTLS: [&str; 4] = [
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    PROMOTE_SECONDARIES,
    BRIDGE_WITHOUT_IPV6,
];

pub fn observe(socket: &mut Socket, node_addresses: &[IpAddr]) -> Result<Observed, KernelError> {
    let links = links(socket)?;
    let addresses = addresses(socket)?;
    let names: BTreeMap<u32, LinkName> = links
        .iter()
        .filter_map(|link| Some((link.index, LinkName::new(&link.name).ok()?)))
        .collect();
    let bridge = links.iter().find(|link| link.name == BRIDGE);
    let bridge_index = bridge.map(|link| link.index);
    Ok(Observed {
        bridge: bridge.and_then(|link| observed_bridge(link, &addresses)),
        ports: links
            .iter()
            // A stranger's link may have such a name too.
            .filter(|link| link.group == GROUP)
            .filter_map(|link| Some((Slot::of_link(&link.name)?, port(link, bridge_index))))
            .collect(),
        sysctls: SYSCTLS
            .iter()
            .filter_map(|key| Some((*key, sysctl::read(key).ok()?)))
            .collect(),
        routes: routes(socket, &names)?,
        neighbours: neighbours(socket, &names)?,
        dead_links: links.iter().filter(|link| link.group == DEAD_GROUP).count(),
        uplink: uplink(&links, &addresses, node_addresses),
    })
}

/// What a plan needs to know of a link.
#[derive(Default)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub up: bool,
    pub mac: Option<Mac>,
    pub mtu_bytes: u32,
    pub group: u32,
    pub controller: Option<u32>,
    pub hairpin: bool,
    pub is_bridge: bool,
    /// Of a veth, where its other end is in its own namespace.
    pub peer: Option<u32>,
    pub alias: Option<String>,
    pub alternative_names: Vec<String>,
}

/// `None`: there is no link of that name.
pub fn link_named(socket: &mut Socket, name: &LinkName) -> Result<Option<Link>, KernelError> {
    let request = LinkUnspec::new_with_name(name.as_str()).build();
    one_link(socket, format!("find link {name}"), request)
}

/// `None`: there is no link of that index.
pub fn link_at(socket: &mut Socket, index: u32) -> Result<Option<Link>, KernelError> {
    let request = LinkUnspec::new_with_index(index).build();
    one_link(socket, format!("find link {index}"), request)
}

fn one_link(
    socket: &mut Socket,
    step: String,
    mut request: LinkMessage,
) -> Result<Option<Link>, KernelError> {
    request
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    match socket.get(step, &RouteNetlinkMessage::GetLink(request)) {
        Ok(RouteNetlinkMessage::NewLink(message)) => Ok(Some(link(message))),
        Ok(_) => Ok(None),
        Err(error) if error.refusal() == Refusal::NoDevice => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn links(socket: &mut Socket) -> Result<Vec<Link>, KernelError> {
    let mut request = LinkMessage::default();
    request
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let answers = socket.dump("list links", &RouteNetlinkMessage::GetLink(request))?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(link(message)),
            _ => None,
        })
        .collect())
}

pub fn link(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(bytes) => link.mac = Mac::from_slice(&bytes),
            LinkAttribute::Mtu(mtu_bytes) => link.mtu_bytes = mtu_bytes,
            LinkAttribute::Group(group) => link.group = group,
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::PropList(props) => {
                link.alternative_names = props
                    .into_iter()
                    .filter_map(|prop| match prop {
                        Prop::AltIfName(name) => Some(name),
                        _ => None,
                    })
                    .collect();
            }
            LinkAttribute::Link(index) => link.peer = Some(index),
            LinkAttribute::LinkInfo(infos) => {
                link.hairpin = infos.iter().any(is_hairpin);
                link.is_bridge = infos.contains(&LinkInfo::Kind(InfoKind::Bridge));
            }
            _ => {}
        }
    }
    link
}

fn is_hairpin(info: &LinkInfo) -> bool {
    match info {
        LinkInfo::PortData(InfoPortData::BridgePort(data)) => {
            data.contains(&InfoBridgePort::HairpinMode(true))
        }
        _ => false,
    }
}

fn port(link: &Link, bridge_index: Option<u32>) -> Port {
    let alias = link.alias.as_deref().unwrap_or_default();
    let (pod, mac) = alias.split_once(' ').unwrap_or((alias, ""));
    Port {
        on_bridge: link.controller.is_some() && link.controller == bridge_index,
        up: link.up,
        hairpin: link.hairpin,
        pod: PodName::parse(pod).ok(),
        mac: Mac::parse(mac),
        attachment: link.alternative_names.first().cloned(),
    }
}

fn observed_bridge(link: &Link, addresses: &[(u32, IpNetwork)]) -> Option<ObservedBridge> {
    Some(ObservedBridge {
        mac: link.mac?,
        mtu_bytes: link.mtu_bytes,
        up: link.up,
        addresses: addresses
            .iter()
            .filter(|(index, _)| *index == link.index)
            .map(|(_, network)| *network)
            .collect(),
    })
}

fn uplink(
    links: &[Link],
    addresses: &[(u32, IpNetwork)],
    node_addresses: &[IpAddr],
) -> Option<Uplink> {
    let (index, _) = addresses
        .iter()
        .find(|(_, network)| node_addresses.contains(&network.ip()))?;
    let link = links.iter().find(|link| link.index == *index)?;
    Some(Uplink {
        device: LinkName::new(&link.name).ok()?,
        mac: link.mac,
        mtu_bytes: link.mtu_bytes,
    })
}

/// Link index and network of every address but link-local ones.
fn addresses(socket: &mut Socket) -> Result<Vec<(u32, IpNetwork)>, KernelError> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let answers = socket.dump("list addresses", &request)?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(message) => address(&message),
            _ => None,
        })
        .collect())
}

pub fn address(message: &AddressMessage) -> Option<(u32, IpNetwork)> {
    if message.header.scope == AddressScope::Link {
        return None;
    }
    // On a point-to-point link IFA_ADDRESS is the other end's.
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| {
        message.attributes.iter().find_map(wanted)
    };
    let local = find(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    let ip = local.or_else(|| {
        find(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })?;
    let network = IpNetwork::new(ip, message.header.prefix_len).ok()?;
    Some((message.header.index, network))
}

/// Ours in the main table; the kernel filters by protocol and table.
fn routes(
    socket: &mut Socket,
    names: &BTreeMap<u32, LinkName>,
) -> Result<BTreeSet<Route>, KernelError> {
    let mut found = BTreeSet::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        request.header.table = RouteHeader::RT_TABLE_MAIN;
        request.header.protocol = RouteProtocol::Other(PROTOCOL);
        let answers = match socket.dump("list routes", &RouteNetlinkMessage::GetRoute(request)) {
            // A namespace that never had a route has no main table yet (inet_dump_fib).
            Err(error) if error.refusal() == Refusal::NoEntry => continue,
            answers => answers?,
        };
        found.extend(
            answers
                .into_iter()
                .filter_map(|answer| match answer {
                    RouteNetlinkMessage::NewRoute(message) => Some(ways(&message, names)),
                    _ => None,
                })
                .flatten(),
        );
    }
    Ok(found)
}

/// One route, or several: IPv6 answers two routes to one destination, as an
/// interrupted move leaves them, as one with two next hops.
fn ways(message: &RouteMessage, names: &BTreeMap<u32, LinkName>) -> Vec<Route> {
    let prefix = message.header.destination_prefix_length;
    let destination = message.attributes.iter().find_map(|a| match a {
        RouteAttribute::Destination(to) => IpNetwork::new(ip(to)?, prefix).ok(),
        _ => None,
    });
    let Some(destination) = destination else {
        return Vec::new();
    };
    if message.header.protocol != RouteProtocol::Other(PROTOCOL) {
        return Vec::new();
    }
    let next_hops = message.attributes.iter().find_map(|a| match a {
        RouteAttribute::MultiPath(next_hops) => Some(next_hops),
        _ => None,
    });
    let way = |index: u32, attributes: &[RouteAttribute]| {
        let device = names.get(&index)?.clone();
        let via = gateway(attributes)?;
        Some(Route {
            destination,
            via,
            device,
        })
    };
    match next_hops {
        Some(hops) => hops
            .iter()
            .filter_map(|hop| way(hop.interface_index, &hop.attributes))
            .collect(),
        None => output(&message.attributes)
            .and_then(|index| way(index, &message.attributes))
            .into_iter()
            .collect(),
    }
}

/// `None` unless it leads out by the link of that index.
pub fn pod_route(message: &RouteMessage, index: u32) -> Option<PodRoute> {
    if output(&message.attributes) != Some(index) {
        return None;
    }
    let any = match message.header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        _ => IpAddr::from([0; 16]),
    };
    let destination = message.attributes.iter().find_map(|a| match a {
        RouteAttribute::Destination(to) => ip(to),
        _ => None,
    });
    let prefix = message.header.destination_prefix_length;
    Some(PodRoute {
        destination: IpNetwork::new(destination.unwrap_or(any), prefix).ok()?,
        via: gateway(&message.attributes),
    })
}

pub fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|a| match a {
        RouteAttribute::Gateway(gateway) => ip(gateway),
        _ => None,
    })
}

fn output(attributes: &[RouteAttribute]) -> Option<u32> {
    attributes.iter().find_map(|a| match a {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

pub fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

/// Ours are permanent and carry our protocol.
fn neighbours(
    socket: &mut Socket,
    names: &BTreeMap<u32, LinkName>,
) -> Result<BTreeSet<Neighbour>, KernelError> {
    let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    let answers = socket.dump("list neighbours", &request)?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewNeighbour(message) => neighbour(&message, names),
            _ => None,
        })
        .collect())
}

fn neighbour(message: &NeighbourMessage, names: &BTreeMap<u32, LinkName>) -> Option<Neighbour> {
    let ours = NeighbourAttribute::Protocol(RouteProtocol::Other(PROTOCOL));
    if message.header.state != NeighbourState::Permanent || !message.attributes.contains(&ours) {
        return None;
    }
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = Mac::from_slice(bytes),
            _ => {}
        }
    }
    Some(Neighbour {
        address: address?,
        mac: mac?,
        device: names.get(&message.header.ifindex)?.clone(),
    })
}
