//! Slots and addresses of one node.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::model::{Family, Mac, NodeCidrs, Slot};

/// The address of `slot` in `cidr`; `None` past its end, and for IPv4's last
/// one (the broadcast address, RFC 919).
pub fn address(cidr: IpNetwork, slot: Slot) -> Option<IpAddr> {
    if slot.offset() > last_offset(cidr) {
        return None;
    }
    Some(match cidr {
        IpNetwork::V4(v4) => (v4.network().to_bits() + slot.offset())
            .to_be_bytes()
            .into(),
        IpNetwork::V6(v6) => (v6.network().to_bits() + u128::from(slot.offset()))
            .to_be_bytes()
            .into(),
    })
}

/// The addresses of `slot`, one per family, in the order of the node's CIDRs;
/// `None` if any family has no room for it.
pub fn addresses(cidrs: &NodeCidrs, slot: Slot) -> Option<Vec<IpAddr>> {
    cidrs.iter().map(|cidr| address(cidr, slot)).collect()
}

/// The inverse of [`address`], for pods: `None` for the gateway and for what
/// is outside.
pub fn slot_of(cidr: IpNetwork, ip: IpAddr) -> Option<Slot> {
    let offset = match (cidr, ip) {
        (IpNetwork::V4(v4), IpAddr::V4(ip)) => ip.to_bits().checked_sub(v4.network().to_bits())?,
        (IpNetwork::V6(v6), IpAddr::V6(ip)) => {
            u32::try_from(ip.to_bits().checked_sub(v6.network().to_bits())?).ok()?
        }
        _ => return None,
    };
    Slot::new(offset).filter(|slot| slot.offset() <= last_offset(cidr))
}

/// The node's own address in `cidr`: the first (`None` only in a CIDR that
/// [`NodeCidrs`] would not hold).
pub fn gateway(cidr: IpNetwork) -> Option<IpAddr> {
    address(cidr, Slot::GATEWAY)
}

/// The node's own addresses with their prefixes, as its bridge carries them.
pub fn gateways(cidrs: &NodeCidrs) -> Vec<IpNetwork> {
    cidrs
        .iter()
        .filter_map(|cidr| IpNetwork::new(gateway(cidr)?, cidr.prefix()).ok())
        .collect()
}

/// The MAC of whoever has `slot`: it follows from the IPv4 address if there is
/// one, else from the IPv6 one.
pub fn mac(cidrs: &NodeCidrs, slot: Slot) -> Option<Mac> {
    let addresses = addresses(cidrs, slot)?;
    addresses
        .iter()
        .find(|ip| ip.is_ipv4())
        .or(addresses.first())
        .map(|ip| Mac::of(*ip))
}

/// How many pods the node's range can hold: what the smallest family leaves
/// beside the network, gateway and (IPv4) broadcast addresses.
pub fn slot_capacity(cidrs: &NodeCidrs) -> u32 {
    last_slot(cidrs) - Slot::GATEWAY.offset()
}

/// Every slot of the node once, from `start` on and round to it again. A start
/// outside the range is as good as the first slot.
pub fn slots_from(cidrs: &NodeCidrs, start: Slot) -> impl Iterator<Item = Slot> + use<> {
    let last = last_slot(cidrs);
    let first = Slot::FIRST.offset();
    let start = if start.offset() > last {
        first
    } else {
        start.offset()
    };
    (start..=last).chain(first..start).filter_map(Slot::new)
}

fn last_slot(cidrs: &NodeCidrs) -> u32 {
    cidrs.iter().map(last_offset).min().unwrap_or(1)
}

fn last_offset(cidr: IpNetwork) -> u32 {
    let family = Family::of(cidr.ip());
    let host_bits = u32::from(family.bits() - cidr.prefix());
    let top = 1u32
        .checked_shl(host_bits)
        .map_or(u32::MAX, |size| size - 1);
    match family {
        Family::V4 => top.saturating_sub(1),
        Family::V6 => top,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn cidrs(texts: &[&str]) -> NodeCidrs {
        NodeCidrs::new(
            texts
                .iter()
                .map(|t| t.parse().expect("a network"))
                .collect(),
        )
        .expect("node CIDRs")
    }

    #[test]
    fn the_gateway_is_first_and_pods_follow() {
        let node = cidrs(&["10.244.1.0/24", "fd00:10:244:1::/64"]);
        let text = |list: Vec<IpAddr>| list.iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(
            gateways(&node)
                .iter()
                .map(IpNetwork::to_string)
                .collect::<Vec<_>>(),
            ["10.244.1.1/24", "fd00:10:244:1::1/64"]
        );
        let slot = Slot::of_link("pod17").expect("a slot");
        assert_eq!(
            text(addresses(&node, slot).expect("room")),
            ["10.244.1.17", "fd00:10:244:1::11"]
        );
        assert_eq!(slot_capacity(&node), 253);
        assert_eq!(
            address(
                "10.244.1.0/24".parse().expect("a network"),
                Slot::new(255).expect("a slot")
            ),
            None
        );
    }

    #[test]
    fn only_canonical_names_are_slots() {
        for name in [
            "pod0",
            "pod1",
            "pod02",
            "pod",
            "pod-2",
            "pod+2",
            "pod4294967296",
            "eth0",
            "Pod2",
        ] {
            assert_eq!(Slot::of_link(name), None, "{name}");
        }
        assert!(Slot::new(u32::MAX).expect("a slot").link_name().len() <= 15);
    }

    proptest! {
        #[test]
        fn names_and_addresses_are_inverse(prefix in 16u8..=30, base: u32, pick: u32) {
            let v4 = ipnetwork::Ipv4Network::new((0x0a00_0000 | (base & 0x00ff_ffff)).into(), prefix).expect("a prefix");
            let cidr = IpNetwork::new(v4.network().into(), prefix).expect("a network");
            let node = NodeCidrs::new(vec![cidr]).expect("node CIDRs");
            let slot = Slot::new(2 + pick % slot_capacity(&node)).expect("a slot");
            let ip = address(cidr, slot).expect("room");
            prop_assert_eq!(slot_of(cidr, ip), Some(slot));
            prop_assert_eq!(Slot::of_link(&slot.link_name()), Some(slot));
            prop_assert_eq!(slot_of(cidr, gateway(cidr).expect("a gateway")), None);
        }

        #[test]
        fn names_and_addresses_are_inverse_in_ipv6(prefix in 64u8..=126, base: u128, pick: u32) {
            let v6 = ipnetwork::Ipv6Network::new(((0xfd << 120) | (base & (u128::MAX >> 8))).into(), prefix).expect("a prefix");
            let cidr = IpNetwork::new(v6.network().into(), prefix).expect("a network");
            let node = NodeCidrs::new(vec![cidr]).expect("node CIDRs");
            let slot = Slot::new(2 + pick % slot_capacity(&node)).expect("a slot");
            prop_assert_eq!(slot_of(cidr, address(cidr, slot).expect("room")), Some(slot));
        }

        #[test]
        fn every_slot_is_tried_once(prefix in 22u8..=30, start in 2u32..5000) {
            let cidr: IpNetwork = format!("10.0.0.0/{prefix}").parse().expect("a network");
            let node = NodeCidrs::new(vec![cidr]).expect("node CIDRs");
            let tried: Vec<Slot> = slots_from(&node, Slot::new(start).expect("a slot")).collect();
            let unique: BTreeSet<Slot> = tried.iter().copied().collect();
            prop_assert_eq!(tried.len(), unique.len());
            prop_assert_eq!(unique.len() as u32, slot_capacity(&node));
            let macs: BTreeSet<Mac> = tried.iter().filter_map(|s| mac(&node, *s)).collect();
            prop_assert_eq!(macs.len(), tried.len());
        }
    }
}
