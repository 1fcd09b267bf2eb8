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
    /// Why the first one failed.
    failed: Option<Errno>,
}

pub enum Dialled {
    Connected(OwnedFd),
    /// It is known once the socket can be written to.
    Waiting(Dial),
    Failed(Errno),
}

/// 127.0.0.1 first, then ::1.
pub fn dial(connection: u32, port: u16) -> Dialled {
    next(connection, port, LOOPBACKS.to_vec(), None)
}

impl Dial {
    /// Its socket can be written to.
    pub fn proceed(self) -> Dialled {
        match socket_error(&self.socket) {
            Ok(Ok(())) => Dialled::Connected(self.socket),
            Ok(Err(errno)) | Err(errno) => {
                let failed = self.failed.or(Some(errno));
                next(self.connection, self.port, self.left, failed)
            }
        }
    }
}

fn next(connection: u32, port: u16, mut left: Vec<IpAddr>, mut failed: Option<Errno>) -> Dialled {
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
                    failed,
                });
            }
            // The first one's reason is the one to tell: the other family may not be there at all.
            Ok((Err(errno), _)) | Err(errno) => failed = failed.or(Some(errno)),
        }
    }
    Dialled::Failed(failed.unwrap_or(Errno::CONNREFUSED))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn the_first_address_s_failure_is_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        // Nobody connects to everybody: that fails at once, and otherwise.
        let left = vec![
            IpAddr::V4(Ipv4Addr::BROADCAST),
            IpAddr::V4(Ipv4Addr::LOCALHOST),
        ];
        let mut dialled = next(1, port, left, None);
        while let Dialled::Waiting(dial) = dialled {
            let writable = PollFd::new(dial.socket.as_fd(), PollFlags::POLLOUT);
            poll(&mut [writable], PollTimeout::NONE).unwrap();
            dialled = dial.proceed();
        }
        assert!(matches!(dialled, Dialled::Failed(Errno::CONNREFUSED)));
    }
}
