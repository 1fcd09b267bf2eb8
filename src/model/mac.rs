//! Ethernet addresses that follow from IP addresses.
//!
//! A MAC that is a function of the address lets every neighbour entry be
//! permanent: there is nothing to learn, and an address that is given again
//! does not meet a stale entry.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// The prefix that kubenet and the CNI bridge plugin give IPv4-derived MACs.
const PREFIX_V4: [u8; 2] = [0x0a, 0x58];
/// Locally administered and unlike the IPv4 one, so that the two never meet.
const PREFIX_V6: [u8; 2] = [0x0a, 0x59];
/// What is changed in the second byte of either.
const PORT: u8 = 0x80;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    pub fn new(bytes: [u8; 6]) -> Mac {
        Mac(bytes)
    }

    /// The low 32 bits of the address behind a prefix that names the family.
    /// Unique wherever those bits are: in any IPv4 network, and in the first
    /// 2^32 addresses of an IPv6 one.
    pub fn of(address: IpAddr) -> Mac {
        let (prefix, low) = match address {
            IpAddr::V4(v4) => (PREFIX_V4, v4),
            IpAddr::V6(v6) => (PREFIX_V6, Ipv4Addr::from_bits(v6.to_bits() as u32)),
        };
        let [a, b, c, d] = low.octets();
        Mac([prefix[0], prefix[1], a, b, c, d])
    }

    /// That of the port which a link with this one is plugged into.
    pub fn of_port(self) -> Mac {
        let mut bytes = self.0;
        bytes[1] ^= PORT;
        Mac(bytes)
    }

    pub fn bytes(self) -> [u8; 6] {
        self.0
    }

    /// `None` unless `bytes` has six of them.
    pub fn from_slice(bytes: &[u8]) -> Option<Mac> {
        bytes.try_into().ok().map(Mac)
    }

    /// `None` unless `text` is six hexadecimal octets between colons.
    pub fn parse(text: &str) -> Option<Mac> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
        }
        parts.next().is_none().then_some(Mac(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_from_the_address_in_both_families() {
        let v4 = Mac::of("10.244.1.17".parse().expect("an address"));
        let v6 = Mac::of("fd00:10:244:1::11".parse().expect("an address"));
        assert_eq!(v4.to_string(), "0a:58:0a:f4:01:11");
        assert_eq!(v6.to_string(), "0a:59:00:00:00:11");
        assert_eq!(Mac::parse(&v4.to_string()), Some(v4));
        assert_eq!(Mac::parse("0a:58:0a:f4:01"), None);
    }
}
