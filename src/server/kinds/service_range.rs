//! Addresses and node ports of services: which are given out is what the services say, so there is
//! nothing to keep in step.
//!
//! Decided on the store's own view, so that no two services get the same.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::service::{SERVICES, has_cluster_ip, has_node_ports};
use super::service_families;
use crate::model::Family;
use crate::server::object;
use crate::server::random;
use crate::server::status::{ApiError, Cause};
use crate::server::store::View;

/// kube-apiserver's `--service-cluster-ip-range`: in IPv4 as kubeadm sets it, 10.96.0.0/12, and in IPv6
/// as its documentation does, fd00:10:96::/112.
struct Range {
    first: IpAddr,
    /// How many addresses, the first and the last included.
    size: u32,
    text: &'static str,
}

const V4: Range = Range {
    first: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 0)),
    size: 1 << 20,
    text: "10.96.0.0/12",
};
const V6: Range = Range {
    first: IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0)),
    size: 1 << 16,
    text: "fd00:10:96::/112",
};
/// The address of the service `kubernetes`.
pub const API_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// kube-apiserver's `--service-node-port-range`.
const NODE_PORTS: RangeInclusive<i64> = 30_000..=32_767;

impl Range {
    fn of(family: Family) -> &'static Range {
        match family {
            Family::V4 => &V4,
            Family::V6 => &V6,
        }
    }

    fn at(&self, offset: u32) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => Ipv4Addr::from(u32::from(first) + offset).into(),
            IpAddr::V6(first) => Ipv6Addr::from(u128::from(first) + u128::from(offset)).into(),
        }
    }

    /// Whether an address is one of those that services may have.
    fn contains(&self, address: IpAddr) -> bool {
        let offset = match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                u128::from(u32::from(address)).checked_sub(u32::from(first).into())
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                u128::from(address).checked_sub(first.into())
            }
            _ => None,
        };
        offset.is_some_and(|offset| (1..u128::from(self.size) - 1).contains(&offset))
    }

    /// A free address, looked for from the `start`th on. The network's own address, the last and the
    /// API's are never given.
    fn free(&self, taken: &HashSet<IpAddr>, start: u32) -> Option<IpAddr> {
        (0..self.size)
            .map(|step| (start + step) % self.size)
            .filter(|offset| (2..self.size - 1).contains(offset))
            .map(|offset| self.at(offset))
            .find(|address| !taken.contains(address))
    }
}

/// What all services hold.
struct Taken {
    addresses: HashSet<IpAddr>,
    node_ports: HashSet<i64>,
}

impl Taken {
    /// What all but the service of that name hold.
    fn by_others(view: &View<'_>, service: &Value, with_ports: bool) -> Taken {
        let mut taken = Taken {
            addresses: HashSet::new(),
            node_ports: HashSet::new(),
        };
        let own = SERVICES.key(object::namespace(service), object::name(service));
        for other in view.list(&SERVICES.prefix(None)) {
            if *other.key == *own {
                continue;
            }
            taken
                .addresses
                .extend(other.field("spec.clusterIP").parse::<IpAddr>());
            let has_ports = matches!(other.field("spec.type"), "NodePort" | "LoadBalancer");
            // Reading a service costs, and most have one address and no such ports.
            if other.json.mentions("DualStack") || with_ports && has_ports {
                let value = other.value();
                let second = object::text(&value, "/spec/clusterIPs/1");
                taken.addresses.extend(second.parse::<IpAddr>());
                let ports = object::list(&value, "/spec/ports").iter();
                taken
                    .node_ports
                    .extend(ports.filter_map(|port| port.get("nodePort")?.as_i64()));
            }
        }
        taken
    }
}

/// Gives a service what it needs and has not got, or checks what it asks for.
///
/// # Errors
/// `Invalid` when what it asks for is somebody else's or outside of the range, `Internal` when
/// nothing is left.
pub fn allocate(service: &mut Value, view: &View<'_>) -> Result<(), ApiError> {
    if !has_cluster_ip(service) {
        return Ok(());
    }
    let with_ports = has_node_ports(service);
    let mut taken = Taken::by_others(view, service, with_ports);
    let mut causes = match object::text(service, "/spec/clusterIP") {
        "None" => Vec::new(),
        _ => give_addresses(service, &taken.addresses)?,
    };
    if with_ports {
        causes.extend(give_node_ports(service, &mut taken.node_ports)?);
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::Invalid {
        resource: &SERVICES,
        name: object::name(service).to_owned(),
        causes,
    })
}

/// As [`allocate`], for a step from `old` that may have nothing to do with it.
pub fn reallocate(service: &mut Value, old: &Value, view: &View<'_>) -> Result<(), ApiError> {
    let same = ["type", "clusterIPs", "ipFamilies", "ports"]
        .iter()
        .all(|key| service["spec"].get(key) == old["spec"].get(key));
    match same {
        true => Ok(()),
        false => allocate(service, view),
    }
}

fn give_addresses(service: &mut Value, taken: &HashSet<IpAddr>) -> Result<Vec<Cause>, ApiError> {
    let mut addresses = object::list(service, "/spec/clusterIPs").to_vec();
    let asked = addresses
        .iter()
        .filter_map(|asked| asked.as_str()?.parse().ok());
    let causes: Vec<Cause> = asked
        .filter_map(|asked| why_not_address(asked, taken))
        .map(|(asked, why)| {
            Cause::invalid_shown(
                "spec.clusterIPs",
                &service_families::go_list(&addresses),
                &format!("failed to allocate IP {asked}: {why}"),
            )
        })
        .collect();
    for family in service_families::of(service)
        .into_iter()
        .skip(addresses.len())
    {
        let range = Range::of(family);
        let start = random::below(range.size);
        let address = range.free(taken, start).ok_or_else(|| {
            ApiError::Internal(format!(
                "failed to allocate a serviceIP: range is full: {}; delete services that are no \
                 longer needed",
                range.text
            ))
        })?;
        addresses.push(json!(address));
    }
    let spec = object::map(service, "spec");
    if let Some(first) = addresses.first() {
        spec.insert("clusterIP".into(), first.clone());
    }
    spec.insert("clusterIPs".into(), addresses.into());
    Ok(causes)
}

fn why_not_address(asked: IpAddr, taken: &HashSet<IpAddr>) -> Option<(IpAddr, String)> {
    let range = Range::of(Family::of(asked));
    if !range.contains(asked) {
        let why = format!(
            "the provided IP is not in the valid range. The range of valid IPs is {}",
            range.text
        );
        return Some((asked, why));
    }
    taken
        .contains(&asked)
        .then(|| (asked, "provided IP is already allocated".to_owned()))
}

fn give_node_ports(service: &mut Value, taken: &mut HashSet<i64>) -> Result<Vec<Cause>, ApiError> {
    let mut causes = Vec::new();
    let ports = service
        .pointer_mut("/spec/ports")
        .and_then(Value::as_array_mut);
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let path = format!("spec.ports[{index}].nodePort");
        match port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) {
            0 => {
                let start = i64::from(random::below(2768));
                let free = free_node_port(taken, start).ok_or_else(|| {
                    ApiError::Internal(
                        "failed to allocate a nodePort: range is full: 30000-32767; delete \
                         services of type NodePort that are no longer needed"
                            .into(),
                    )
                })?;
                taken.insert(free);
                port["nodePort"] = free.into();
            }
            asked if !NODE_PORTS.contains(&asked) => causes.push(Cause::invalid(
                path,
                &json!(asked),
                "provided port is not in the valid range. The range of valid ports is 30000-32767",
            )),
            asked if !taken.insert(asked) => causes.push(Cause::invalid(
                path,
                &json!(asked),
                "provided port is already allocated",
            )),
            _ => {}
        }
    }
    Ok(causes)
}

fn free_node_port(taken: &HashSet<i64>, start: i64) -> Option<i64> {
    let count = NODE_PORTS.end() - NODE_PORTS.start() + 1;
    (0..count)
        .map(|step| NODE_PORTS.start() + (start + step) % count)
        .find(|port| !taken.contains(port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_given_is_free_and_in_range(
            start: u32, v6: bool, taken in prop::collection::hash_set(0_u32..20, 0..20),
        ) {
            let range = if v6 { &V6 } else { &V4 };
            let start = start % range.size;
            let near: HashSet<IpAddr> =
                taken.iter().map(|step| range.at((start + step) % range.size)).collect();
            let given = range.free(&near, start).unwrap();
            prop_assert!(!near.contains(&given));
            prop_assert_ne!(given, IpAddr::from(API_ADDRESS));
            prop_assert_eq!(why_not_address(given, &near), None);
        }

        #[test]
        fn node_ports_run_out_and_not_before(start in 0_i64..2768, left in NODE_PORTS) {
            let mut taken: HashSet<i64> = NODE_PORTS.collect();
            prop_assert_eq!(free_node_port(&taken, start), None);
            taken.remove(&left);
            prop_assert_eq!(free_node_port(&taken, start), Some(left));
        }
    }

    #[test]
    fn what_is_asked_for_must_be_free_and_ours() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let taken = HashSet::from([address("10.96.0.7")]);
        for free in ["10.96.0.8", "10.111.255.254", "fd00:10:96::8"] {
            assert_eq!(why_not_address(address(free), &taken), None);
        }
        for (asked, why) in [
            ("10.96.0.7", "provided IP is already allocated"),
            ("10.112.0.1", "The range of valid IPs is 10.96.0.0/12"),
            ("10.95.255.255", "The range of valid IPs is 10.96.0.0/12"),
            (
                "fd00:10:96::1:0",
                "The range of valid IPs is fd00:10:96::/112",
            ),
        ] {
            let (_, said) = why_not_address(address(asked), &taken).unwrap();
            assert!(said.contains(why), "{said}");
        }
    }
}
