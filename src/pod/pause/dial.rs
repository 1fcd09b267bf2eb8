//! Connections to what listens on the pod's loopback.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

const LOOPBACKS: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
];

/// One that is being made.
pub struct Dial {
    pub connection: u32,
    pub socket: OwnedFd,
    port: u16,
    /// Where to try next, from the end.
    left: Vec<IpAddr>,
}

pub enum Dialled {
    Connected(OwnedFd),
    /// It is known once the socket can be written to.
    Waiting(Dial),
    Failed(Errno),
}

/// 127.0.0.1 first, then ::1.
pub fn dial(connection: u32, port: u16) -> Dialled {
    next(connection, port, LOOPBACKS.to_vec(), Errno::CONNREFUSED)
}

impl Dial {
    /// Its socket can be written to.
    pub fn proceed(self) -> Dialled {
        match socket_error(&self.socket) {
            Ok(Ok(())) => Dialled::Connected(self.socket),
            Ok(Err(errno)) | Err(errno) => next(self.connection, self.port, self.left, errno),
        }
    }
}

fn next(connection: u32, port: u16, mut left: Vec<IpAddr>, mut failed: Errno) -> Dialled {
    while let Some(ip) = left.pop() {
        let family = match ip {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let tried = socket_with(family, SocketType::STREAM, flags, None)
            .map(|socket| (connect(&socket, &SocketAddr::new(ip, port)), socket));
        match tried {
            Ok((Ok(()), socket)) => return Dialled::Connected(socket),
            Ok((Err(Errno::INPROGRESS), socket)) => {
                return Dialled::Waiting(Dial {
                    connection,
                    socket,
                    port,
                    left,
                });
            }
            // The first family's reason is the better one, unless it only was not there.
            Ok((Err(errno), _)) | Err(errno) if failed == Errno::CONNREFUSED => failed = errno,
            Ok(_) | Err(_) => {}
        }
    }
    Dialled::Failed(failed)
}
