//! The fewest netlink messages for what podnet does, over raw sockets.
//!
//! Only the last message of a batch asks for an acknowledgement: the kernel
//! reports errors of the others all the same.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ipnetwork::IpNetwork;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkExtentMask};
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::{RouteHeader, RouteMessage, RouteProtocol};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{MsgFlags, recv};
use podnet::ipam;
use podnet::model::{NodeCidrs, Slot};
use podnet::plan::{DEAD_GROUP, PROTOCOL};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use rustix::net::netdevice::name_to_index;

/// A fresh namespace has its loopback link, then the pod's.
const LOOPBACK_INDEX: u32 = 1;
const POD_INDEX: u32 = 2;
/// `NLMSG_ERROR` and `NLMSG_DONE` (linux/netlink.h).
const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;

pub struct Floor {
    socket: Socket,
    home: OwnedFd,
    bridge: u32,
}

/// An attachment whose messages are written.
pub struct Prepared<'a> {
    pod: BorrowedFd<'a>,
    outside: Vec<u8>,
    inside: Vec<u8>,
}

impl Floor {
    pub fn open(bridge: &str) -> Result<Floor> {
        let socket = open()?;
        Ok(Floor {
            bridge: name_to_index(&socket, bridge)?,
            socket,
            home: File::open("/proc/thread-self/ns/net")?.into(),
        })
    }

    pub fn prepare<'a>(
        &self,
        cidrs: &NodeCidrs,
        slot: Slot,
        pod: BorrowedFd<'a>,
    ) -> Result<Prepared<'a>> {
        let peer = one_queue_each(LinkUnspec::new_with_name("eth0"))
            .mtu(1500)
            .setns_by_fd(pod.as_raw_fd())
            .build();
        let veth = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth);
        let veth = one_queue_each(veth)
            .name(slot.link_name())
            .mtu(1500)
            .controller(self.bridge)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .up()
            .build();
        let create = NLM_F_CREATE | NLM_F_EXCL;
        let up = |index| {
            let link = LinkUnspec::new_with_index(index).up().build();
            (RouteNetlinkMessage::SetLink(link), 0)
        };
        let mut inside = vec![up(LOOPBACK_INDEX)];
        for cidr in cidrs.iter() {
            let ip = ipam::address(cidr, slot).context("an address")?;
            inside.push((address(ip, cidr.prefix()), create));
        }
        inside.push(up(POD_INDEX));
        for cidr in cidrs.iter() {
            let gateway = ipam::gateway(cidr).context("a gateway")?;
            inside.push((route(POD_INDEX, None, gateway)?, create));
        }
        Ok(Prepared {
            pod,
            outside: serialise(vec![(RouteNetlinkMessage::NewLink(veth), create)]),
            inside: serialise(inside),
        })
    }

    /// A socket in the pod's namespace cannot be had beforehand, so it is part of the floor.
    pub fn attach(&self, prepared: &Prepared<'_>) -> Result<Duration> {
        let start = Instant::now();
        send(&self.socket, &prepared.outside).context("floor: create the pair")?;
        setns(prepared.pod, CloneFlags::CLONE_NEWNET)?;
        let inside = open().and_then(|socket| {
            send(&socket, &prepared.inside).context("floor: configure the pod's side")
        });
        setns(self.home.as_fd(), CloneFlags::CLONE_NEWNET)?;
        inside?;
        Ok(start.elapsed())
    }

    /// Off the bridge, to be reaped with ours.
    pub fn retire(&self, slot: Slot) -> Result<()> {
        let link = LinkUnspec::new_with_name(&slot.link_name())
            .down()
            .nocontroller()
            .link_group(DEAD_GROUP)
            .build();
        send(
            &self.socket,
            &serialise(vec![(RouteNetlinkMessage::SetLink(link), 0)]),
        )
    }

    pub fn add_routes(&self, device: &str, routes: &[(IpNetwork, IpAddr)]) -> Result<Duration> {
        let index = name_to_index(&self.socket, device)?;
        let messages: Vec<_> = routes
            .iter()
            .map(|(to, via)| Ok((route(index, Some(*to), *via)?, NLM_F_CREATE | NLM_F_EXCL)))
            .collect::<Result<_>>()?;
        let bytes = serialise(messages);
        let start = Instant::now();
        send(&self.socket, &bytes)?;
        Ok(start.elapsed())
    }

    /// Every table that an observation reads; the answers are not parsed.
    pub fn dump_everything(&self) -> Result<Duration> {
        let mut links = LinkMessage::default();
        let skip = LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]);
        links.attributes.push(skip);
        let mut requests = vec![
            RouteNetlinkMessage::GetLink(links),
            RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
        ];
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut routes = RouteMessage::default();
            routes.header.address_family = family;
            routes.header.table = RouteHeader::RT_TABLE_MAIN;
            routes.header.protocol = RouteProtocol::Other(PROTOCOL);
            requests.push(RouteNetlinkMessage::GetRoute(routes));
        }
        let requests: Vec<Vec<u8>> = requests.into_iter().map(dump_request).collect();
        let socket = open()?;
        socket.set_netlink_get_strict_chk(true)?;
        let start = Instant::now();
        for request in &requests {
            send(&socket, request)?;
        }
        Ok(start.elapsed())
    }
}

fn open() -> Result<Socket> {
    Ok(Socket::new(NETLINK_ROUTE)?)
}

/// Send, and read until the acknowledgement or the end of the dump.
fn send(socket: &Socket, bytes: &[u8]) -> Result<()> {
    socket.send_to(bytes, &SocketAddr::new(0, 0), 0)?;
    let mut buffer = [0; 32 * 1024];
    loop {
        let received = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..received];
        while rest.len() >= 20 {
            let word = |at: usize| {
                i32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]])
            };
            let kind = u16::from_ne_bytes([rest[4], rest[5]]);
            if kind == KIND_ERROR || kind == KIND_DONE {
                match word(16) {
                    0 => return Ok(()),
                    code => bail!("refused: {}", nix::errno::Errno::from_raw(-code)),
                }
            }
            let length = (word(0) as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

fn serialise(messages: Vec<(RouteNetlinkMessage, u16)>) -> Vec<u8> {
    let last = messages.len().saturating_sub(1);
    let mut out = Vec::new();
    for (at, (message, flags)) in messages.into_iter().enumerate() {
        let acknowledge = if at == last { NLM_F_ACK } else { 0 };
        append(&mut out, message, flags | acknowledge);
    }
    out
}

fn dump_request(message: RouteNetlinkMessage) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, message, NLM_F_DUMP);
    out
}

fn append(out: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16) {
    let mut packet = NetlinkMessage::from(message);
    packet.header.flags = flags | NLM_F_REQUEST;
    packet.finalize();
    let start = out.len();
    out.resize(start + packet.buffer_len().next_multiple_of(4), 0);
    packet.serialize(&mut out[start..]);
}

/// Else the kernel makes one for each processor, and waits to have them out of use.
fn one_queue_each<T>(link: LinkMessageBuilder<T>) -> LinkMessageBuilder<T> {
    link.append_extra_attribute(LinkAttribute::NumTxQueues(1))
        .append_extra_attribute(LinkAttribute::NumRxQueues(1))
}

fn address(ip: IpAddr, prefix: u8) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = prefix;
    message.header.index = POD_INDEX;
    message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
    RouteNetlinkMessage::NewAddress(message)
}

fn route(index: u32, to: Option<IpNetwork>, via: IpAddr) -> Result<RouteNetlinkMessage> {
    let (IpAddr::V4(via), None | Some(IpNetwork::V4(_))) = (via, to) else {
        bail!("the bench's node is IPv4");
    };
    let mut builder = RouteMessageBuilder::<Ipv4Addr>::new()
        .protocol(RouteProtocol::Other(PROTOCOL))
        .output_interface(index)
        .gateway(via);
    if let Some(IpNetwork::V4(to)) = to {
        builder = builder.destination_prefix(to.network(), to.prefix());
    }
    Ok(RouteNetlinkMessage::NewRoute(builder.build()))
}
