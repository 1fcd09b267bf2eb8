//! Addresses and node ports of services: which are given out is what the services say, so there is
//! nothing to keep in step.
//!
//! Decided on the store's own view, so that no two services get the same.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::service::{SERVICES, has_cluster_ip, has_node_ports};
use crate::server::object;
use crate::server::random;
use crate::server::status::{ApiError, Cause};
use crate::server::store::View;

/// kube-apiserver's `--service-cluster-ip-range`, as kubeadm sets it: 10.96.0.0/12.
const FIRST: u32 = u32::from_be_bytes([10, 96, 0, 0]);
const PREFIX: u32 = 12;
const SIZE: u32 = 1 << (32 - PREFIX);
/// The address of the service `kubernetes`.
pub const API_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// kube-apiserver's `--service-node-port-range`.
const NODE_PORTS: RangeInclusive<i64> = 30_000..=32_767;

/// What all services hold.
struct Taken {
    addresses: HashSet<String>,
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
                .insert(other.field("spec.clusterIP").to_owned());
            // Only these have any, and reading a service costs.
            let has_ports = matches!(other.field("spec.type"), "NodePort" | "LoadBalancer");
            if with_ports && has_ports {
                let value = other.value();
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
    let causes = match object::text(service, "/spec/clusterIP") {
        "None" => Vec::new(),
        "" => {
            let start = random::below(SIZE);
            let address = free_address(&taken.addresses, start).ok_or_else(used_up)?;
            let spec = object::map(service, "spec");
            spec.insert("clusterIP".into(), json!(address.to_string()));
            spec.insert("clusterIPs".into(), json!([address.to_string()]));
            Vec::new()
        }
        asked => why_not_address(asked, &taken.addresses)
            .into_iter()
            .collect(),
    };
    let causes = match with_ports {
        true => [causes, give_node_ports(service, &mut taken.node_ports)?].concat(),
        false => causes,
    };
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::Invalid {
        resource: &SERVICES,
        name: object::name(service).to_owned(),
        causes,
    })
}

fn used_up() -> ApiError {
    ApiError::Internal(
        "failed to allocate a serviceIP: range is full: 10.96.0.0/12; delete services that are no \
         longer needed"
            .into(),
    )
}

/// A free address, looked for from the `start`th on. The network's own address, the broadcast
/// address and the API's are never given.
fn free_address(taken: &HashSet<String>, start: u32) -> Option<Ipv4Addr> {
    (0..SIZE)
        .map(|step| (start + step) % SIZE)
        .filter(|offset| (2..SIZE - 1).contains(offset))
        .map(|offset| Ipv4Addr::from(FIRST + offset))
        .find(|address| !taken.contains(&address.to_string()))
}

fn why_not_address(asked: &str, taken: &HashSet<String>) -> Option<Cause> {
    let in_range = asked
        .parse::<Ipv4Addr>()
        .is_ok_and(|address| (FIRST + 1..FIRST + SIZE - 1).contains(&u32::from(address)));
    let why = if !in_range {
        "the provided IP is not in the valid range. The range of valid IPs is 10.96.0.0/12"
    } else if taken.contains(asked) {
        "provided IP is already allocated"
    } else {
        return None;
    };
    Some(Cause::invalid_shown(
        "spec.clusterIPs",
        &format!("[]string{{{asked:?}}}"),
        &format!("failed to allocate IP {asked}: {why}"),
    ))
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
            start in 0..SIZE, taken in prop::collection::hash_set(0..SIZE, 0..20),
        ) {
            let near: HashSet<String> = taken
                .iter()
                .map(|offset| Ipv4Addr::from(FIRST + (start + offset % 20) % SIZE).to_string())
                .collect();
            let given = free_address(&near, start).unwrap().to_string();
            prop_assert!(!near.contains(&given));
            prop_assert_ne!(&given, &API_ADDRESS.to_string());
            prop_assert_eq!(why_not_address(&given, &near), None);
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
        let taken = HashSet::from(["10.96.0.7".to_owned()]);
        assert_eq!(why_not_address("10.96.0.8", &taken), None);
        for (asked, why) in [
            ("10.96.0.7", "provided IP is already allocated"),
            ("10.112.0.1", "not in the valid range"),
            ("fd00::1", "not in the valid range"),
        ] {
            let cause = why_not_address(asked, &taken).unwrap();
            assert!(cause.detail.contains(why), "{}", cause.detail);
        }
    }
}
