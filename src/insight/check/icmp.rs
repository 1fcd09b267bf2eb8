//! Echo requests from everywhere to everywhere.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, recv,
    sendto, socket,
};
use tokio::task::{JoinError, JoinSet};

use crate::kernel::linux::in_netns;
use crate::model::Family;

use super::{Endpoint, Probe, Protocol, targets};

const TIMEOUT: Duration = Duration::from_secs(1);
/// A lost packet is no verdict; three in a row are.
const TRIES: u32 = 3;
/// Unanswered requests at a time: their answers must fit a receive buffer.
const WINDOW: usize = 64;
/// Sources at a time.
const SOURCES: usize = 8;

/// RFC 792 and RFC 4443 §4.
const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

pub async fn probe(endpoints: Arc<[Endpoint]>) -> Result<Vec<Probe>, JoinError> {
    let mut running = JoinSet::new();
    let mut probes = Vec::new();
    for index in 0..endpoints.len() {
        if running.len() >= SOURCES
            && let Some(done) = running.join_next().await
        {
            probes.extend::<Vec<Probe>>(done?);
        }
        let endpoints = Arc::clone(&endpoints);
        running.spawn_blocking(move || from(&endpoints, index));
    }
    while let Some(done) = running.join_next().await {
        probes.extend(done?);
    }
    Ok(probes)
}

fn from(endpoints: &[Endpoint], index: usize) -> Vec<Probe> {
    let source = &endpoints[index];
    let mut probes = Vec::new();
    for family in [Family::V4, Family::V6] {
        let goals: Vec<(&Endpoint, IpAddr)> = endpoints
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != index)
            .flat_map(|(_, to)| targets(source, to).map(move |ip| (to, ip)))
            .filter(|(_, ip)| Family::of(*ip) == family)
            .collect();
        if goals.is_empty() {
            continue;
        }
        let addresses: Vec<IpAddr> = goals.iter().map(|(_, ip)| *ip).collect();
        let answered = in_netns(source.netns.as_fd(), || ping_all(family, &addresses))
            .map_err(io::Error::other)
            .and_then(|inner| inner);
        for (goal, (to, address)) in goals.iter().enumerate() {
            let error = match &answered {
                Ok(answered) if answered.contains(&goal) => None,
                Ok(_) => Some(format!("no answer to {TRIES} echo requests")),
                Err(error) => Some(error.to_string()),
            };
            probes.push(Probe {
                from: source.name.clone(),
                to: to.name.clone(),
                address: *address,
                protocol: Protocol::Icmp,
                error,
            });
        }
    }
    probes
}

/// Echo requests from the calling thread's namespace to every address, all of
/// one family; the indices of those that answered within [`TRIES`].
pub fn ping_all(family: Family, addresses: &[IpAddr]) -> io::Result<BTreeSet<usize>> {
    let socket = open(family)?;
    let mut answered = BTreeSet::new();
    for _ in 0..TRIES {
        let open: Vec<usize> = (0..addresses.len())
            .filter(|i| !answered.contains(i))
            .collect();
        for window in open.chunks(WINDOW) {
            for &goal in window {
                // Unreachable at once is as unanswered as unreachable later.
                let _ = send(&socket, addresses[goal], goal);
            }
            receive(&socket, family, addresses, window, &mut answered)?;
        }
        if answered.len() == addresses.len() {
            break;
        }
    }
    Ok(answered)
}

fn open(family: Family) -> io::Result<OwnedFd> {
    let (domain, protocol) = match family {
        Family::V4 => (AddressFamily::Inet, SockProtocol::Icmp),
        Family::V6 => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    Ok(socket(
        domain,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )?)
}

fn send(socket: &OwnedFd, to: IpAddr, goal: usize) -> nix::Result<()> {
    match to {
        IpAddr::V4(ip) => {
            let mut packet = request(ECHO_REQUEST_V4, goal);
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
            let to = SockaddrIn::from(SocketAddrV4::new(ip, 0));
            sendto(socket.as_raw_fd(), &packet, &to, MsgFlags::empty()).map(drop)
        }
        IpAddr::V6(ip) => {
            // The kernel fills in ICMPv6 checksums (RFC 3542 §3.1).
            let packet = request(ECHO_REQUEST_V6, goal);
            let to = SockaddrIn6::from(SocketAddrV6::new(ip, 0, 0, 0));
            sendto(socket.as_raw_fd(), &packet, &to, MsgFlags::empty()).map(drop)
        }
    }
}

/// Type, code, checksum, identifier, sequence number; the goal is both of the
/// last two.
fn request(kind: u8, goal: usize) -> [u8; 8] {
    let [_, _, _, _, a, b, c, d] = (goal as u64).to_be_bytes();
    [kind, 0, 0, 0, a, b, c, d]
}

/// RFC 1071.
fn checksum(packet: &[u8; 8]) -> u16 {
    let words = packet.chunks_exact(2);
    let sum: u32 = words
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

fn receive(
    socket: &OwnedFd,
    family: Family,
    addresses: &[IpAddr],
    window: &[usize],
    answered: &mut BTreeSet<usize>,
) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    let mut buffer = [0; 1500];
    while window.iter().any(|goal| !answered.contains(goal)) {
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let received = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(received) => &buffer[..received],
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        if let Some(goal) = reply(family, received).filter(|goal| *goal < addresses.len()) {
            answered.insert(goal);
        }
    }
    Ok(())
}

/// A raw IPv4 socket shows the IP header, a raw IPv6 one does not.
fn reply(family: Family, packet: &[u8]) -> Option<usize> {
    let (message, wanted) = match family {
        Family::V4 => {
            let header = usize::from(packet.first()? & 0x0f) * 4;
            (packet.get(header..)?, ECHO_REPLY_V4)
        }
        Family::V6 => (packet, ECHO_REPLY_V6),
    };
    let goal: [u8; 4] = message.get(4..8)?.try_into().ok()?;
    (message[0] == wanted).then_some(u32::from_be_bytes(goal) as usize)
}
