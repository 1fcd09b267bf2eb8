//! `HOST:PORT`, and the addresses that it stands for.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Host and port; an IPv6 address is in brackets, and an empty host is this one,
/// as for Go's net.Dial.
pub fn split(text: &str) -> Result<(&str, &str), String> {
    let (host, port) = text
        .rsplit_once(':')
        .filter(|(_, port)| !port.contains(']'))
        .ok_or_else(|| format!("address {text}: missing port in address"))?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .ok_or_else(|| format!("address {text}: missing ']' in address"))?,
        None if host.contains(':') => {
            return Err(format!("address {text}: too many colons in address"));
        }
        None => host,
    };
    Ok((host, port))
}

/// Never empty.
pub fn resolve(host: &str, port: &str) -> io::Result<Vec<SocketAddr>> {
    let invalid = || io::Error::other(format!("the port {port:?} is no number up to 65535"));
    let port: u16 = port.parse().map_err(|_| invalid())?;
    let host = if host.is_empty() { "localhost" } else { host };
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    if addresses.is_empty() {
        return Err(io::Error::other(format!("{host} has no address")));
    }
    Ok(addresses)
}

/// An IPv4 client of a socket for both families by its own address, as Go shows it.
pub fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        assert_eq!(split("web:80"), Ok(("web", "80")));
        assert_eq!(split("[fd00::1]:80"), Ok(("fd00::1", "80")));
        assert_eq!(split(":80"), Ok(("", "80")));
        for wrong in ["web", "fd00::1", "[fd00::1]", "[fd00::1:80", ""] {
            assert!(split(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_port_is_a_number() {
        assert!(resolve("127.0.0.1", "65536").is_err());
        assert!(resolve("127.0.0.1", "http").is_err());
        let local = resolve("127.0.0.1", "80").expect("resolved");
        assert_eq!(local, ["127.0.0.1:80".parse().expect("an address")]);
    }
}
