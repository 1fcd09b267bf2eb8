//! The messages, each from rtnetlink's builders where it has one.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnetwork::IpNetwork;
use netlink_packet_core::{DefaultNla, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridgePort, InfoData, InfoKind, InfoPortData,
    InfoPortKind, InfoVeth, LinkAttribute, LinkExtentMask, LinkMessage, Prop,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::kernel::{Attach, KernelError, PodRoute};
use crate::model::{AttachmentId, LinkName, Mac};
use crate::plan::PROTOCOL;

use super::socket::{Request, Socket};

/// `IFLA_ALT_IFNAME` (linux/if_link.h): finds a link by either kind of name.
const ALTERNATIVE_NAME: u16 = 53;
/// `IFALIASZ` less what ends the text, here and in the kernel (linux/if.h); a pod's namespace and name
/// may have 317 bytes, all of them ASCII.
const MAX_ALIAS: usize = 254;

pub fn link_by_attachment(id: &AttachmentId) -> RouteNetlinkMessage {
    let mut text = id.as_str().as_bytes().to_vec();
    text.push(0);
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::Other(DefaultNla::new(ALTERNATIVE_NAME, text)),
        LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]),
    ];
    RouteNetlinkMessage::GetLink(message)
}

/// Where the link of that name is in the socket's namespace. By ioctl: an answer
/// over netlink describes all of the link, and takes twenty times as long.
pub fn index_of(socket: &Socket, name: &str) -> Result<u32, KernelError> {
    rustix::net::netdevice::name_to_index(socket, name)
        .map_err(|errno| KernelError::io(format!("find link {name}"), &errno.into()))
}

/// Whether IPv6 is on for a link, be it up or not.
pub fn has_ipv6(socket: &mut Socket, name: &LinkName) -> Result<bool, KernelError> {
    let request = LinkUnspec::new_with_name(name.as_str()).build();
    let step = format!("ask {name} for IPv6");
    let answer = socket.get(step, &RouteNetlinkMessage::GetLink(request))?;
    let RouteNetlinkMessage::NewLink(link) = answer else {
        return Ok(true);
    };
    // A link of a kernel without IPv6 has nothing to say about it.
    Ok(link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::AfSpecUnspec(families) => families.iter().any(|family| match family {
            AfSpecUnspec::Inet6(settings) => settings.iter().any(
                |setting| matches!(setting, AfSpecInet6::DevConf(conf) if conf.disable_ipv6 == 0),
            ),
            _ => false,
        }),
        _ => false,
    }))
}

/// One end of a veth pair.
pub struct End<'a> {
    pub name: &'a str,
    pub mac: Option<Mac>,
}

/// A veth that is not told how many queues it has gets one of each kind for every
/// processor and gives up all but one at once (`veth_init_queues` in veth.c), which
/// waits for RCU, twice a pair, while everybody else waits for the lock on links.
fn one_queue_each<T>(link: LinkMessageBuilder<T>) -> LinkMessageBuilder<T> {
    link.append_extra_attribute(LinkAttribute::NumTxQueues(1))
        .append_extra_attribute(LinkAttribute::NumRxQueues(1))
}

/// A veth pair born in both namespaces at once, its near end a port of
/// `controller`. Both ends are down.
pub fn create_veth(
    near: &End<'_>,
    far: &End<'_>,
    controller: u32,
    group: u32,
    mtu_bytes: u32,
    far_netns: BorrowedFd<'_>,
) -> RouteNetlinkMessage {
    let mut peer = one_queue_each(LinkUnspec::new_with_name(far.name))
        .mtu(mtu_bytes)
        .setns_by_fd(far_netns.as_raw_fd());
    if let Some(mac) = far.mac {
        peer = peer.address(mac.bytes().to_vec());
    }
    let link = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth);
    let mut link = one_queue_each(link)
        .name(near.name)
        .mtu(mtu_bytes)
        .controller(controller)
        .link_group(group)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())));
    if let Some(mac) = near.mac {
        link = link.address(mac.bytes().to_vec());
    }
    RouteNetlinkMessage::NewLink(link.build())
}

pub fn create_bridge(name: &LinkName, mac: Mac) -> Request {
    let link = LinkBridge::new(name.as_str())
        .address(mac.bytes().to_vec())
        .build();
    Request::new(
        format!("create bridge {name}"),
        RouteNetlinkMessage::NewLink(link),
        NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// The second half of making a bridge: only an MTU that is changed stays, one
/// that it was born with follows its ports' (net/bridge/br_if.c, br_mtu_auto_adjust).
pub fn start_bridge(name: &LinkName, mtu_bytes: u32) -> Request {
    let link = LinkUnspec::new_with_name(name.as_str());
    set_link(
        format!("set {name} up with MTU {mtu_bytes}"),
        link.mtu(mtu_bytes).up().build(),
    )
}

pub fn set_link(step: String, link: LinkMessage) -> Request {
    Request::new(step, RouteNetlinkMessage::SetLink(link), 0)
}

/// No link-local address: a bridge's port never receives, and with the address
/// would come a route, duplicate address detection and multicast reports, each
/// the dearer the more ports there are. Before the port is first up.
pub fn keep_quiet(index: u32, name: &str) -> Request {
    let link = LinkUnspec::new_with_index(index)
        .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(
            vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)],
        )]))
        .build();
    set_link(format!("keep {name} without a link-local address"), link)
}

/// Everything that turns a link into a committed attachment, in one message.
/// A port's settings are only taken by a change (`RTM_NEWLINK` without create).
pub fn commit_port(index: u32, name: &str, attach: &Attach<'_>) -> Request {
    let hairpin = !attach.wishes.without_hairpin;
    // `namespace/pod`, and the MAC of the pod's interface where it does not follow.
    let mac = attach.wishes.mac.map(|mac| format!(" {mac}"));
    let mac = mac.unwrap_or_default();
    let mut alias = attach.pod.to_string();
    alias.truncate(alias.floor_char_boundary(MAX_ALIAS - mac.len()));
    alias.push_str(&mac);
    let link = LinkUnspec::new_with_index(index)
        .alias(alias)
        .set_port_kind(InfoPortKind::Bridge)
        .set_port_data(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(
            hairpin,
        )]))
        .up()
        .build();
    Request::new(
        format!("commit link {name}"),
        RouteNetlinkMessage::NewLink(link),
        0,
    )
}

pub fn set_hairpin(name: &str) -> Request {
    let link = LinkUnspec::new_with_name(name)
        .set_port_kind(InfoPortKind::Bridge)
        .set_port_data(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(
            true,
        )]))
        .build();
    Request::new(
        format!("set hairpin on {name}"),
        RouteNetlinkMessage::NewLink(link),
        0,
    )
}

pub fn add_alternative_name(index: u32, name: &str, id: &AttachmentId) -> Request {
    Request::new(
        format!("name link {name} {id}"),
        RouteNetlinkMessage::NewLinkProp(alternative_name(LinkUnspec::new_with_index(index), id)),
        NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND,
    )
}

pub fn delete_alternative_name(index: u32, id: &AttachmentId) -> Request {
    Request::new(
        format!("take the name {id} off its link"),
        RouteNetlinkMessage::DelLinkProp(alternative_name(LinkUnspec::new_with_index(index), id)),
        0,
    )
}

fn alternative_name(link: LinkMessageBuilder<LinkUnspec>, id: &AttachmentId) -> LinkMessage {
    link.append_extra_attribute(LinkAttribute::PropList(vec![Prop::AltIfName(
        id.as_str().to_owned(),
    )]))
    .build()
}

/// All links of a group in one request: `rtnl_group_dellink` in rtnetlink.c.
pub fn delete_group(group: u32) -> Request {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::Group(group));
    Request::new(
        format!("delete links of group {group}"),
        RouteNetlinkMessage::DelLink(link),
        0,
    )
}

pub fn delete_link(name: &str) -> Request {
    Request::new(
        format!("delete link {name}"),
        RouteNetlinkMessage::DelLink(LinkUnspec::new_with_name(name).build()),
        0,
    )
}

/// Never tentative: duplicate address detection would hold it back for a second.
pub fn address(index: u32, network: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(network.ip());
    message.header.prefix_len = network.prefix();
    message.header.index = index;
    message
        .attributes
        .push(AddressAttribute::Local(network.ip()));
    message
        .attributes
        .push(AddressAttribute::Address(network.ip()));
    match network {
        IpNetwork::V4(v4) => message
            .attributes
            .push(AddressAttribute::Broadcast(v4.broadcast())),
        IpNetwork::V6(_) => {
            message.header.flags = AddressHeaderFlags::Nodad;
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
    }
    message
}

pub fn add_address(index: u32, device: &str, network: IpNetwork, flags: u16) -> Request {
    Request::new(
        format!("add address {network} to {device}"),
        RouteNetlinkMessage::NewAddress(address(index, network)),
        NLM_F_CREATE | flags,
    )
}

pub fn neighbour(index: u32, ip: IpAddr, mac: Mac) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(ip);
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.attributes = vec![
        NeighbourAttribute::Destination(match ip {
            IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
            IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
        }),
        NeighbourAttribute::LinkLayerAddress(mac.bytes().to_vec()),
        NeighbourAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
    ];
    message
}

pub fn set_neighbour(index: u32, ip: IpAddr, mac: Mac) -> Request {
    Request::new(
        format!("set neighbour {ip}"),
        RouteNetlinkMessage::NewNeighbour(neighbour(index, ip, mac)),
        NLM_F_CREATE | NLM_F_REPLACE,
    )
}

pub fn delete_neighbour(index: u32, ip: IpAddr) -> Request {
    let mut message = neighbour(index, ip, Mac::new([0; 6]));
    message.attributes.truncate(1);
    Request::new(
        format!("delete neighbour {ip}"),
        RouteNetlinkMessage::DelNeighbour(message),
        0,
    )
}

/// A route with our protocol.
pub fn route(index: u32, destination: IpNetwork, via: IpAddr) -> RouteMessage {
    let mut message = on_link(index, destination);
    message.header.scope = RouteScope::Universe;
    let via = match via {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    };
    message.attributes.push(RouteAttribute::Gateway(via));
    message
}

/// A route with our protocol to what is on the link itself.
fn on_link(index: u32, destination: IpNetwork) -> RouteMessage {
    let mut message = match destination {
        IpNetwork::V4(v4) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
            .destination_prefix(v4.network(), v4.prefix())
            .build(),
        IpNetwork::V6(v6) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
            .destination_prefix(v6.network(), v6.prefix())
            .build(),
    };
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message.header.scope = RouteScope::Link;
    message.attributes.push(RouteAttribute::Oif(index));
    message
}

pub fn add_pod_route(index: u32, route: &PodRoute, flags: u16) -> Request {
    let to = match route.destination.prefix() {
        0 => "a default route".to_owned(),
        _ => format!("a route to {}", route.destination),
    };
    match route.via {
        Some(via) => add_route(
            format!("add {to} via {via}"),
            self::route(index, route.destination, via),
            flags,
        ),
        None => add_route(
            format!("add {to}"),
            on_link(index, route.destination),
            flags,
        ),
    }
}

pub fn add_route(step: String, message: RouteMessage, flags: u16) -> Request {
    Request::new(
        step,
        RouteNetlinkMessage::NewRoute(message),
        NLM_F_CREATE | flags,
    )
}

pub fn delete_route(step: String, message: RouteMessage) -> Request {
    Request::new(step, RouteNetlinkMessage::DelRoute(message), 0)
}

pub fn family(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
