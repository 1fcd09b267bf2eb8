//! Carving node CIDRs out of the cluster range.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::model::{ClusterRanges, Family, NodeCidrs, NodeName, Pool};

/// How many nodes the cluster ranges can hold: the smallest pool decides,
/// since a dual-stack node takes the same index of each. At most 65,536.
pub fn capacity(ranges: &ClusterRanges) -> u32 {
    ranges.pools().iter().map(pool_capacity).min().unwrap_or(0)
}

/// The CIDRs of the node with index `index`; `None` from [`capacity`] on.
pub fn nth(ranges: &ClusterRanges, index: u32) -> Option<NodeCidrs> {
    let cidrs: Option<Vec<IpNetwork>> = ranges
        .pools()
        .iter()
        .map(|pool| pool_nth(pool, index))
        .collect();
    NodeCidrs::new(cidrs?).ok()
}

/// The inverse of [`nth`] for one family; `None` if the pool of that family
/// did not carve `cidr`.
pub fn index_of(ranges: &ClusterRanges, cidr: IpNetwork) -> Option<u32> {
    let family = Family::of(cidr.ip());
    let pool = ranges.pools().iter().find(|pool| pool.family() == family)?;
    let above = bits(cidr.ip()).checked_sub(bits(pool.range().ip()))?;
    let index = u32::try_from(above.checked_shr(host_bits(pool))?).ok()?;
    (pool_nth(pool, index) == Some(cidr)).then_some(index)
}

/// Every index once, in the order in which `node` should try them: `node-3`
/// starts at the third, any other name at a hash of it, so that nodes which
/// start together rarely ask for the same one.
pub fn candidates(ranges: &ClusterRanges, node: &NodeName) -> impl Iterator<Item = u32> + use<> {
    let count = capacity(ranges);
    let start = match node.ordinal() {
        Some(ordinal) if ordinal > 0 => ordinal - 1,
        _ => fnv1a(node.as_str()),
    };
    (0..count).map(move |step| {
        let index = (u64::from(start) + u64::from(step)) % u64::from(count);
        index as u32
    })
}

/// The name of the Lease that stands for `cidr`: `podcidr-10-244-3-0-24`,
/// `podcidr-fd00-10-244-3---64`.
pub fn lease_name(cidr: IpNetwork) -> String {
    let address = cidr.ip().to_string().replace(['.', ':'], "-");
    format!("podcidr-{address}-{}", cidr.prefix())
}

fn pool_capacity(pool: &Pool) -> u32 {
    1 << (pool.node_prefix() - pool.range().prefix())
}

fn pool_nth(pool: &Pool, index: u32) -> Option<IpNetwork> {
    if index >= pool_capacity(pool) {
        return None;
    }
    let base = bits(pool.range().ip()) | (u128::from(index).checked_shl(host_bits(pool))?);
    let address = match pool.family() {
        Family::V4 => IpAddr::from((base as u32).to_be_bytes()),
        Family::V6 => IpAddr::from(base.to_be_bytes()),
    };
    IpNetwork::new(address, pool.node_prefix()).ok()
}

fn host_bits(pool: &Pool) -> u32 {
    u32::from(pool.family().bits() - pool.node_prefix())
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// FNV-1a, 32 bits: the same on every machine and in every version.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges(texts: &[(&str, u8)]) -> ClusterRanges {
        let pools = texts
            .iter()
            .map(|(range, mask)| Pool::new(range.parse().expect("a range"), *mask).expect("fits"));
        ClusterRanges::new(pools.collect()).expect("ranges")
    }

    /// Somewhere in 10.0.0.0/8.
    fn private_v4(base: u32) -> std::net::Ipv4Addr {
        (0x0a00_0000 | (base & 0x00ff_ffff)).into()
    }

    /// Somewhere in fd00::/8.
    fn private_v6(base: u128) -> std::net::Ipv6Addr {
        ((0xfd << 120) | (base & (u128::MAX >> 8))).into()
    }

    prop_compose! {
        fn any_pool_v4()(prefix in 8u8..=28, extra in 0u8..=10, base: u32) -> Pool {
            let network = ipnetwork::Ipv4Network::new(private_v4(base), prefix).expect("a prefix");
            let range = IpNetwork::new(network.network().into(), prefix).expect("a range");
            Pool::new(range, (prefix + extra).min(30)).expect("fits")
        }
    }
    prop_compose! {
        fn any_pool_v6()(prefix in 16u8..=120, extra in 0u8..=10, base: u128) -> Pool {
            let network = ipnetwork::Ipv6Network::new(private_v6(base), prefix).expect("a prefix");
            let range = IpNetwork::new(network.network().into(), prefix).expect("a range");
            Pool::new(range, (prefix + extra).min(126)).expect("fits")
        }
    }
    fn any_ranges() -> impl Strategy<Value = ClusterRanges> {
        prop_oneof![
            any_pool_v4().prop_map(|v4| vec![v4]),
            any_pool_v6().prop_map(|v6| vec![v6]),
            (any_pool_v4(), any_pool_v6()).prop_map(|(v4, v6)| vec![v4, v6]),
        ]
        .prop_map(|pools| ClusterRanges::new(pools).expect("one per family"))
    }

    proptest! {
        #[test]
        fn carving_is_disjoint_and_complete(ranges in any_ranges()) {
            let count = capacity(&ranges);
            for pool in ranges.pools() {
                let mut covered: u128 = 0;
                let mut seen = BTreeSet::new();
                for index in 0..pool_capacity(pool) {
                    let cidr = pool_nth(pool, index).expect("within capacity");
                    prop_assert!(pool.range().contains(cidr.ip()));
                    prop_assert!(seen.insert(cidr), "carved twice: {cidr}");
                    covered += 1u128 << host_bits(pool);
                }
                let whole = 1u128 << u32::from(pool.family().bits() - pool.range().prefix());
                prop_assert_eq!(covered, whole);
            }
            prop_assert!(nth(&ranges, count).is_none());
        }

        #[test]
        fn index_and_cidr_are_inverse(ranges in any_ranges(), pick: u32) {
            let index = pick % capacity(&ranges);
            for cidr in nth(&ranges, index).expect("within capacity").iter() {
                prop_assert_eq!(index_of(&ranges, cidr), Some(index));
            }
        }

        #[test]
        fn no_candidate_twice_and_none_missing(ranges in any_ranges(), name in "[a-z]{1,8}(-[0-9]{1,6})?") {
            let node = NodeName::new(&name).expect("a label");
            let tried: Vec<u32> = candidates(&ranges, &node).collect();
            let unique: BTreeSet<u32> = tried.iter().copied().collect();
            prop_assert_eq!(tried.len(), unique.len());
            prop_assert_eq!(unique, (0..capacity(&ranges)).collect::<BTreeSet<u32>>());
        }
    }

    #[test]
    fn numbered_nodes_get_numbered_cidrs() {
        let ranges = ranges(&[("10.244.0.0/16", 24), ("fd00:10:244::/56", 64)]);
        let node = NodeName::new("node-3").expect("a label");
        let first = candidates(&ranges, &node).next().expect("a candidate");
        let cidrs = nth(&ranges, first).expect("within capacity");
        assert_eq!(cidrs.to_string(), "10.244.2.0/24,fd00:10:244:2::/64");
        assert_eq!(capacity(&ranges), 256);
    }

    #[test]
    fn lease_names_are_dns_labels_and_tell_cidrs_apart() {
        let name = |text: &str| lease_name(text.parse().expect("a network"));
        assert_eq!(name("10.244.3.0/24"), "podcidr-10-244-3-0-24");
        assert_eq!(name("fd00:10:244:3::/64"), "podcidr-fd00-10-244-3---64");
        assert!(crate::model::is_dns_label(&name("fd00:10:244:3::/64")));
    }
}
