//! Which addresses and ports a pod adds to a service. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::Family;
use crate::server::kinds::pod;
use crate::server::object;

/// `--max-endpoints-per-slice`.
const SLICE: usize = 100;

/// A pod behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    address: String,
    node: String,
    hostname: String,
    target: Value,
    /// What the pod itself says.
    serving: bool,
    terminating: bool,
    /// Counts as ready however it says.
    published: bool,
    ports: Vec<Port>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    name: String,
    protocol: String,
    number: i64,
    app_protocol: String,
}

/// What a pod adds to a service that selects it; `None` before it has an address of that family and
/// after it has ended.
pub fn behind(service: &Value, pod: &Value, family: Family) -> Option<Behind> {
    let all = object::list(pod, "/status/podIPs").iter();
    let address = all
        .map(|one| object::text(one, "/ip"))
        .chain([object::text(pod, "/status/podIP")])
        .find(|text| text.parse().is_ok_and(|ip| Family::of(ip) == family))?;
    if pod::is_finished(pod) {
        return None;
    }
    let hostname = match object::text(pod, "/spec/subdomain") == object::name(service) {
        true => object::text(pod, "/spec/hostname"),
        false => "",
    };
    Some(Behind {
        address: address.to_owned(),
        node: object::text(pod, "/spec/nodeName").to_owned(),
        hostname: hostname.to_owned(),
        target: json!({
            "kind": "Pod",
            "namespace": object::namespace(pod),
            "name": object::name(pod),
            "uid": object::uid(pod),
        }),
        serving: object::condition(pod, "Ready")
            .is_some_and(|ready| object::text(ready, "/status") == "True"),
        terminating: object::is_terminating(pod),
        published: service.pointer("/spec/publishNotReadyAddresses") == Some(&Value::Bool(true)),
        ports: object::list(service, "/spec/ports")
            .iter()
            .filter_map(|port| Port::of(port, pod))
            .collect(),
    })
}

impl Port {
    /// A service's port on one pod; `None` where it is a name that the pod does not have.
    fn of(port: &Value, pod: &Value) -> Option<Port> {
        let protocol = object::text(port, "/protocol");
        let number = match &port["targetPort"] {
            Value::String(name) => named_port(pod, name, protocol)?,
            target => target.as_i64()?,
        };
        Some(Port {
            name: object::text(port, "/name").to_owned(),
            protocol: protocol.to_owned(),
            number,
            app_protocol: object::text(port, "/appProtocol").to_owned(),
        })
    }

    fn value(&self) -> Value {
        let mut port = json!({"name": &self.name, "port": self.number, "protocol": &self.protocol});
        if !self.app_protocol.is_empty() {
            port["appProtocol"] = self.app_protocol.as_str().into();
        }
        port
    }
}

fn named_port(pod: &Value, name: &str, protocol: &str) -> Option<i64> {
    object::list(pod, "/spec/containers")
        .iter()
        .flat_map(|container| object::list(container, "/ports"))
        .find(|port| {
            object::text(port, "/name") == name && object::text(port, "/protocol") == protocol
        })
        .and_then(|port| port.get("containerPort")?.as_i64())
}

/// Those with the same ports together, each group in the order of the addresses as texts.
fn by_ports(all: &[Behind]) -> BTreeMap<&[Port], Vec<&Behind>> {
    let mut sorted: Vec<&Behind> = all.iter().collect();
    sorted.sort_by(|one, other| one.address.cmp(&other.address));
    let mut groups: BTreeMap<&[Port], Vec<&Behind>> = BTreeMap::new();
    for one in sorted {
        groups.entry(&one.ports).or_default().push(one);
    }
    groups
}

/// The subsets of Endpoints: pods that are going away are in none.
pub fn subsets(all: &[Behind]) -> Vec<Value> {
    let mut subsets = Vec::new();
    for (ports, group) in by_ports(all) {
        let addresses = |ready: bool| -> Vec<Value> {
            group
                .iter()
                .filter(|one| !one.terminating && (one.serving || one.published) == ready)
                .map(|one| {
                    let mut address = json!({"ip": &one.address, "targetRef": &one.target});
                    address["nodeName"] = one.node.as_str().into();
                    if !one.hostname.is_empty() {
                        address["hostname"] = one.hostname.as_str().into();
                    }
                    address
                })
                .collect()
        };
        let mut subset = json!({});
        for (key, addresses) in [
            ("addresses", addresses(true)),
            ("notReadyAddresses", addresses(false)),
        ] {
            if !addresses.is_empty() {
                subset[key] = addresses.into();
            }
        }
        if subset.as_object().is_some_and(serde_json::Map::is_empty) {
            continue;
        }
        if !ports.is_empty() {
            subset["ports"] = ports
                .iter()
                .map(|port| {
                    let mut value = port.value();
                    if port.name.is_empty() {
                        object::copy(&mut value, &Value::Null, "name");
                    }
                    value
                })
                .collect();
        }
        subsets.push(subset);
    }
    subsets
}

/// Endpoints and ports of each slice, at least one.
pub fn slices(all: &[Behind]) -> Vec<(Vec<Value>, Vec<Value>)> {
    let mut slices = Vec::new();
    for (ports, group) in by_ports(all) {
        let ports: Vec<Value> = ports.iter().map(Port::value).collect();
        for chunk in group.chunks(SLICE) {
            slices.push((
                chunk.iter().map(|one| one.endpoint()).collect(),
                ports.clone(),
            ));
        }
    }
    if slices.is_empty() {
        slices.push((Vec::new(), Vec::new()));
    }
    slices
}

impl Behind {
    fn endpoint(&self) -> Value {
        let mut endpoint = json!({
            "addresses": [&self.address],
            "conditions": {
                "ready": (self.serving && !self.terminating) || self.published,
                "serving": self.serving,
                "terminating": self.terminating,
            },
            "targetRef": &self.target,
            "nodeName": &self.node,
        });
        if !self.hostname.is_empty() {
            endpoint["hostname"] = self.hostname.as_str().into();
        }
        endpoint
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pod(index: usize, ready: bool, terminating: bool, port: i64) -> Value {
        let mut pod = json!({
            "metadata": {"namespace": "x", "name": format!("p{index}"), "uid": format!("u{index}")},
            "spec": {"nodeName": "a", "containers": [
                {"name": "c", "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}]},
            ]},
            "status": {
                "podIP": format!("10.244.0.{index}"),
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            },
        });
        if terminating {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        pod
    }

    fn service(target: Value) -> Value {
        json!({
            "metadata": {"name": "web"},
            "spec": {"ports": [{"port": 80, "targetPort": target, "protocol": "TCP"}]},
        })
    }

    proptest! {
        #[test]
        fn every_pod_is_in_exactly_one_slice_and_only_ready_ones_are_ready(
            pods in prop::collection::vec((any::<bool>(), any::<bool>(), 1_i64..4), 0..250),
        ) {
            let service = service(json!("http"));
            let all: Vec<Behind> = pods
                .iter()
                .enumerate()
                .filter_map(|(index, (ready, ends, port))| {
                    behind(&service, &pod(index, *ready, *ends, *port), Family::V4)
                })
                .collect();
            let slices = slices(&all);
            prop_assert!(slices.iter().all(|(endpoints, _)| endpoints.len() <= SLICE));
            let endpoints: Vec<&Value> = slices.iter().flat_map(|(all, _)| all).collect();
            prop_assert_eq!(endpoints.len(), pods.len());
            let ready = pods.iter().filter(|(ready, ends, _)| *ready && !*ends).count();
            let said = endpoints.iter().filter(|one| one["conditions"]["ready"] == true).count();
            prop_assert_eq!(said, ready);
            let in_subsets: usize = subsets(&all)
                .iter()
                .map(|subset| object::list(subset, "/addresses").len())
                .sum();
            prop_assert_eq!(in_subsets, ready);
        }
    }

    #[test]
    fn an_address_is_of_the_family_that_is_asked_for() {
        let mut dual = pod(1, true, false, 8080);
        dual["status"]["podIPs"] = json!([{"ip": "10.244.0.1"}, {"ip": "fd00::1"}]);
        let address = |pod: &Value, family| {
            let behind = behind(&service(json!(80)), pod, family);
            behind.map(|behind| behind.address)
        };
        assert_eq!(address(&dual, Family::V6).as_deref(), Some("fd00::1"));
        assert_eq!(address(&dual, Family::V4).as_deref(), Some("10.244.0.1"));
        assert_eq!(address(&pod(1, true, false, 8080), Family::V6), None);
    }

    #[test]
    fn ports_are_the_pods_own() {
        let one = behind(
            &service(json!("http")),
            &pod(1, true, false, 8080),
            Family::V4,
        )
        .unwrap();
        let subset = &subsets(std::slice::from_ref(&one))[0];
        assert_eq!(subset["ports"], json!([{"port": 8080, "protocol": "TCP"}]));
        let none = behind(
            &service(json!("grpc")),
            &pod(1, true, false, 8080),
            Family::V4,
        )
        .unwrap();
        assert_eq!(subsets(&[none])[0].get("ports"), None);
    }
}
