//! Sockets that listen on a port of all addresses.
//!
//! One socket serves both families, as Node's and Go's do, if the kernel has
//! IPv6; else there is one for IPv4. Only a missing family leads to the other:
//! a port that is taken is an error.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

/// The kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("listen on {address} ({transport}): {source}")]
pub struct ListenError {
    transport: Transport,
    address: SocketAddr,
    #[source]
    source: io::Error,
}

pub fn tcp(port: u16) -> Result<TcpListener, ListenError> {
    Ok(TcpListener::from(on_all(Transport::Tcp, port)?))
}

/// On one address, or on all.
pub fn udp(address: Option<IpAddr>, port: u16) -> Result<UdpSocket, ListenError> {
    let socket = match address {
        None => on_all(Transport::Udp, port)?,
        Some(address) => on(Transport::Udp, SocketAddr::new(address, port))?,
    };
    Ok(UdpSocket::from(socket))
}

fn on_all(transport: Transport, port: u16) -> Result<OwnedFd, ListenError> {
    let unspecified = |address: IpAddr| SocketAddr::new(address, port);
    let both = on(transport, unspecified(Ipv6Addr::UNSPECIFIED.into()));
    match both {
        Err(error) if is_without_family(&error.source) => {
            on(transport, unspecified(Ipv4Addr::UNSPECIFIED.into()))
        }
        _ => both,
    }
}

/// A kernel started with ipv6.disable=1 has no such sockets, one with
/// ipv6.disable_ipv6=1 no such addresses.
fn is_without_family(error: &io::Error) -> bool {
    let missing = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| missing.contains(&errno))
}

fn on(transport: Transport, address: SocketAddr) -> Result<OwnedFd, ListenError> {
    open(transport, address).map_err(|errno| ListenError {
        transport,
        address,
        source: errno.into(),
    })
}

fn open(transport: Transport, address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let kind = match transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        // Whatever net.ipv6.bindv6only says.
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    if transport == Transport::Tcp {
        // Connections of an earlier run that still wait out their time are no obstacle.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)?;
    if transport == Transport::Tcp {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}
