//! Ranges of addresses: what a cluster owns and what a node owns of it.
//!
//! Invariants: a [`Pool`] has no host bits set and its node mask fits; a
//! [`ClusterRanges`] or [`NodeCidrs`] holds one network, or one of each family.
//! One mask size per pool means that two unequal node CIDRs are disjoint.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use thiserror::Error;

/// Node masks may be this many bits longer than their range, as in
/// kube-controller-manager: 65,536 nodes.
const MAX_CARVED_BITS: u8 = 16;
/// The longest node mask that still leaves a gateway and one pod.
const MAX_NODE_PREFIX_V4: u8 = 30;
const MAX_NODE_PREFIX_V6: u8 = 126;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// Bits in an address: 32 or 128.
    pub fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// kube-controller-manager's default node mask: 24 or 64.
    pub fn default_node_prefix(self) -> u8 {
        match self {
            Family::V4 => 24,
            Family::V6 => 64,
        }
    }

    fn max_node_prefix(self) -> u8 {
        match self {
            Family::V4 => MAX_NODE_PREFIX_V4,
            Family::V6 => MAX_NODE_PREFIX_V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum RangeError {
    #[error("range {range} has host bits set; did you mean {meant}?")]
    HostBits { range: IpNetwork, meant: IpNetwork },
    #[error(
        "node mask /{node_prefix} does not fit cluster range {range}: use /{shortest} to /{longest}"
    )]
    MaskDoesNotFit {
        range: IpNetwork,
        node_prefix: u8,
        shortest: u8,
        longest: u8,
    },
    #[error(
        "range {range} holds {what} addresses, which pods cannot have; use a private one, as \
         10.244.0.0/16"
    )]
    Unusable {
        range: IpNetwork,
        what: &'static str,
    },
    #[error(
        "cluster range {range} is too small to carve a node's range from; use a shorter prefix"
    )]
    TooSmall { range: IpNetwork },
    #[error("{what} holds two {family} networks ({first} and {second}); give one per family")]
    SameFamily {
        what: &'static str,
        family: Family,
        first: IpNetwork,
        second: IpNetwork,
    },
    #[error("{what} is empty; give one network, or one of each family")]
    Empty { what: &'static str },
    #[error("{what} holds {count} networks; give one network, or one of each family")]
    TooMany { what: &'static str, count: usize },
    #[error(
        "{first_name} {first} overlaps {second_name} {second}; choose ranges that are disjoint"
    )]
    Overlap {
        first_name: &'static str,
        first: IpNetwork,
        second_name: &'static str,
        second: IpNetwork,
    },
}

/// One cluster range of one family and the size of the pieces nodes get of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    range: IpNetwork,
    node_prefix: u8,
}

impl Pool {
    /// # Errors
    /// Host bits in `range`, or a mask that does not fit: shorter than the
    /// range, more than 16 bits longer, or too long for a gateway and a pod.
    pub fn new(range: IpNetwork, node_prefix: u8) -> Result<Pool, RangeError> {
        let meant = truncated(range);
        if meant.ip() != range.ip() {
            return Err(RangeError::HostBits { range, meant });
        }
        if let Some(what) = unusable(range) {
            return Err(RangeError::Unusable { range, what });
        }
        let family = Family::of(range.ip());
        let shortest = range.prefix();
        let longest = family
            .max_node_prefix()
            .min(shortest.saturating_add(MAX_CARVED_BITS));
        if shortest > longest {
            return Err(RangeError::TooSmall { range });
        }
        if !(shortest..=longest).contains(&node_prefix) {
            return Err(RangeError::MaskDoesNotFit {
                range,
                node_prefix,
                shortest,
                longest,
            });
        }
        Ok(Pool { range, node_prefix })
    }

    pub fn range(&self) -> IpNetwork {
        self.range
    }

    pub fn node_prefix(&self) -> u8 {
        self.node_prefix
    }

    pub fn family(&self) -> Family {
        Family::of(self.range.ip())
    }
}

/// What the cluster owns: one pool, or one of each family, primary first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRanges(Vec<Pool>);

impl ClusterRanges {
    pub fn new(pools: Vec<Pool>) -> Result<ClusterRanges, RangeError> {
        one_per_family("the cluster range", pools.iter().map(Pool::range))?;
        Ok(ClusterRanges(pools))
    }

    pub fn pools(&self) -> &[Pool] {
        &self.0
    }

    pub fn has(&self, family: Family) -> bool {
        self.0.iter().any(|pool| pool.family() == family)
    }

    /// # Errors
    /// Names the first pair of ranges, one of each side, that share an address.
    pub fn disjoint_from(
        &self,
        other_name: &'static str,
        others: &[IpNetwork],
    ) -> Result<(), RangeError> {
        for pool in &self.0 {
            for other in others {
                if overlap(pool.range, *other) {
                    return Err(RangeError::Overlap {
                        first_name: "cluster range",
                        first: pool.range,
                        second_name: other_name,
                        second: *other,
                    });
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for ClusterRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(f, self.0.iter().map(Pool::range))
    }
}

/// What a node owns: its `spec.podCIDRs`, one network, or one of each family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeCidrs(Vec<IpNetwork>);

impl NodeCidrs {
    pub fn new(cidrs: Vec<IpNetwork>) -> Result<NodeCidrs, RangeError> {
        one_per_family("a node's range", cidrs.iter().copied())?;
        for cidr in &cidrs {
            Pool::new(*cidr, cidr.prefix())?;
        }
        Ok(NodeCidrs(cidrs))
    }

    pub fn iter(&self) -> impl Iterator<Item = IpNetwork> + '_ {
        self.0.iter().copied()
    }

    pub fn has(&self, family: Family) -> bool {
        self.iter().any(|cidr| Family::of(cidr.ip()) == family)
    }

    pub fn overlaps(&self, other: &NodeCidrs) -> bool {
        self.iter()
            .any(|mine| other.iter().any(|theirs| overlap(mine, theirs)))
    }
}

impl fmt::Display for NodeCidrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(f, self.iter())
    }
}

fn one_per_family(
    what: &'static str,
    networks: impl Iterator<Item = IpNetwork>,
) -> Result<(), RangeError> {
    let networks: Vec<IpNetwork> = networks.collect();
    match networks[..] {
        [] => Err(RangeError::Empty { what }),
        [_] => Ok(()),
        [first, second] if Family::of(first.ip()) == Family::of(second.ip()) => {
            Err(RangeError::SameFamily {
                what,
                family: Family::of(first.ip()),
                first,
                second,
            })
        }
        [_, _] => Ok(()),
        _ => Err(RangeError::TooMany {
            what,
            count: networks.len(),
        }),
    }
}

/// CIDRs of one family either nest or are disjoint.
fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    a.contains(b.ip()) || b.contains(a.ip())
}

/// RFC 6890 and RFC 4291 §2.4: what is never a host's own routable address.
fn unusable(range: IpNetwork) -> Option<&'static str> {
    let kinds = [
        ("0.0.0.0/8", "unspecified"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    ];
    let within = |text: &str| text.parse().is_ok_and(|kind| overlap(kind, range));
    kinds
        .into_iter()
        .find(|(text, _)| within(text))
        .map(|(_, what)| what)
}

fn truncated(network: IpNetwork) -> IpNetwork {
    match network {
        IpNetwork::V4(v4) => {
            ipnetwork::Ipv4Network::new(v4.network(), v4.prefix()).map(IpNetwork::V4)
        }
        IpNetwork::V6(v6) => {
            ipnetwork::Ipv6Network::new(v6.network(), v6.prefix()).map(IpNetwork::V6)
        }
    }
    .unwrap_or(network)
}

fn join(f: &mut fmt::Formatter<'_>, networks: impl Iterator<Item = IpNetwork>) -> fmt::Result {
    for (i, network) in networks.enumerate() {
        if i > 0 {
            f.write_str(",")?;
        }
        write!(f, "{network}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNetwork {
        text.parse().expect("a network")
    }

    #[test]
    fn a_mask_that_does_not_fit_says_what_would() {
        let error = Pool::new(net("10.244.0.0/16"), 8).unwrap_err();
        assert_eq!(
            error.to_string(),
            "node mask /8 does not fit cluster range 10.244.0.0/16: use /16 to /30"
        );
        assert!(Pool::new(net("fd00:10:244::/56"), 80).is_err());
        assert!(Pool::new(net("fd00:10:244::/56"), 64).is_ok());
        assert!(matches!(
            Pool::new(net("10.0.0.0/31"), 31),
            Err(RangeError::TooSmall { .. })
        ));
    }

    #[test]
    fn host_bits_are_refused_with_what_was_meant() {
        let error = Pool::new(net("10.244.3.0/16"), 24).unwrap_err();
        assert_eq!(
            error.to_string(),
            "range 10.244.3.0/16 has host bits set; did you mean 10.244.0.0/16?"
        );
    }

    #[test]
    fn ranges_that_no_pod_can_have_are_refused() {
        for range in [
            "224.0.0.0/8",
            "127.0.0.0/16",
            "169.254.0.0/16",
            "fe80::/64",
            "0.0.0.0/0",
        ] {
            let refused = Pool::new(net(range), 24).unwrap_err();
            assert!(
                matches!(refused, RangeError::Unusable { .. }),
                "{range}: {refused}"
            );
        }
        for range in [
            "10.0.0.0/8",
            "100.64.0.0/10",
            "192.168.0.0/16",
            "8.8.0.0/16",
        ] {
            assert!(Pool::new(net(range), 24).is_ok(), "{range}");
        }
    }

    #[test]
    fn two_ranges_of_one_family_are_refused() {
        let pool = |text| Pool::new(net(text), 24).expect("a pool");
        let error = ClusterRanges::new(vec![pool("10.1.0.0/16"), pool("10.2.0.0/16")]).unwrap_err();
        assert!(error.to_string().contains("two IPv4 networks"), "{error}");
    }

    #[test]
    fn overlap_is_found_either_way_round() {
        let ranges = |text| {
            ClusterRanges::new(vec![Pool::new(net(text), 24).expect("a pool")]).expect("ranges")
        };
        let underlay = [net("172.30.0.0/16")];
        assert!(
            ranges("172.30.8.0/24")
                .disjoint_from("underlay range", &underlay)
                .is_err()
        );
        assert!(
            ranges("172.16.0.0/12")
                .disjoint_from("underlay range", &underlay)
                .is_err()
        );
        assert!(
            ranges("10.244.0.0/16")
                .disjoint_from("underlay range", &underlay)
                .is_ok()
        );
    }
}
