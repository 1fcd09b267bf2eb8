//! `agnhost connect HOST:PORT`: nothing and 0 if a connection can be had; else 1
//! and on standard error a line that begins with why, for tests to look at.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::super::flags::{Flag, Flags};
use super::super::{ProgramError, say_error};
use super::address;

const FLAGS: [Flag; 4] = [
    Flag::Value("timeout"),
    Flag::Value("protocol"),
    Flag::Value("udp-data"),
    Flag::Value("sctp-data"),
];

pub fn run(args: &[String]) -> Result<u8, ProgramError> {
    let flags = Flags::parse(&FLAGS, args)?;
    let [target] = flags.rest.as_slice() else {
        return Err(ProgramError::Usage(format!(
            "agnhost connect takes one HOST:PORT, and was given {} arguments",
            flags.rest.len()
        )));
    };
    let timeout = flags.duration("timeout")?;
    // None is forever, which for TCP the kernel bounds (net.ipv4.tcp_syn_retries).
    let timeout = (!timeout.is_zero()).then_some(timeout);
    let outcome = match flags.text("protocol").unwrap_or("tcp") {
        "tcp" | "" => resolved(target).and_then(|addresses| tcp(&addresses, timeout)),
        "udp" => {
            let data = flags.text("udp-data").unwrap_or("hostname");
            resolved(target).and_then(|addresses| udp(addresses[0], data, timeout))
        }
        "sctp" => Err("OTHER: SCTP cannot be tried here: use tcp or udp".to_owned()),
        other => Err(format!(
            "UNKNOWN: unsupported protocol {other:?}: tcp or udp"
        )),
    };
    match outcome {
        Ok(()) => Ok(0),
        Err(why) => {
            say_error(&why);
            Ok(1)
        }
    }
}

/// Never empty.
fn resolved(target: &str) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = address::split(target).map_err(|why| format!("UNKNOWN: {why}"))?;
    address::resolve(host, port).map_err(|error| format!("DNS: {host}: {error}"))
}

/// The addresses in turn, within the time for all of them; the first failure is told.
fn tcp(addresses: &[SocketAddr], timeout: Option<Duration>) -> Result<(), String> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut first = None;
    for (index, address) in addresses.iter().enumerate() {
        let outcome = match deadline {
            None => TcpStream::connect(address),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
                if share.is_zero() {
                    Err(ErrorKind::TimedOut.into())
                } else {
                    TcpStream::connect_timeout(address, share)
                }
            }
        };
        match outcome {
            Ok(_) => return Ok(()),
            Err(error) => first = first.or(Some((address, error))),
        }
    }
    match first {
        None => Err("DNS: there is no address".to_owned()),
        Some((_, error)) if error.kind() == ErrorKind::TimedOut => Err("TIMEOUT".to_owned()),
        Some((_, error)) if error.kind() == ErrorKind::ConnectionRefused => {
            Err("REFUSED".to_owned())
        }
        Some((address, error)) => Err(format!("OTHER: connect to {address}: {error}")),
    }
}

/// There is a connection if something comes back.
fn udp(address: SocketAddr, data: &str, timeout: Option<Duration>) -> Result<(), String> {
    let received = exchange(address, format!("{data}\n").as_bytes(), timeout);
    match received {
        Ok(answer) if answer.is_empty() => {
            Err("OTHER: the answer is empty: it may not be the server's".to_owned())
        }
        Ok(_) => Ok(()),
        // What a socket's timeout is called (socket(7), SO_RCVTIMEO).
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(format!("TIMEOUT: {error}")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            Err(format!("REFUSED: {error}"))
        }
        Err(error) => Err(format!("UNKNOWN: {error}")),
    }
}

/// Sends a datagram and waits for one. `None` waits forever.
pub fn exchange(
    address: SocketAddr,
    data: &[u8],
    timeout: Option<Duration>,
) -> io::Result<Vec<u8>> {
    let own: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own)?;
    socket.connect(address)?;
    socket.set_read_timeout(timeout)?;
    socket.send(data)?;
    let mut answer = vec![0; 2048];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}
