//! What a pod asks of its node. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::affinity::{Labels, NodeTerm, PodTerm, labels, named_nodes};
use super::spread::Spread;
use super::taint::Toleration;
use super::wishes::Wishes;
use crate::server::object;
use crate::server::quantity;

/// What is counted for pods whether their containers ask for it or not.
pub const NATIVE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Amounts by the resource's name, in thousandths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources(pub BTreeMap<String, i64>);

impl Resources {
    fn of_container(container: &Value) -> Resources {
        let of = |kind: &str| Resources::of(&container["resources"][kind]);
        // What is not asked for is asked for by its limit.
        let mut asked = of("limits");
        asked.0.extend(of("requests").0);
        asked
    }

    /// Of a map from names to quantities.
    pub fn of(list: &Value) -> Resources {
        let pairs = list.as_object().into_iter().flatten();
        Resources(
            pairs
                .filter_map(|(name, amount)| Some((name.clone(), quantity::of(amount)?)))
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub fn plus(mut self, other: &Resources) -> Resources {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
        self
    }

    pub fn minus(mut self, other: &Resources) -> Resources {
        for (name, amount) in &other.0 {
            let rest = self.0.entry(name.clone()).or_default();
            *rest = rest.saturating_sub(*amount);
        }
        self
    }

    fn max(mut self, other: &Resources) -> Resources {
        for (name, amount) in &other.0 {
            let most = self.0.entry(name.clone()).or_default();
            *most = (*most).max(*amount);
        }
        self
    }
}

/// A port of the node's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub address: String,
    pub protocol: String,
    pub number: i64,
}

impl HostPort {
    pub fn collides(&self, other: &HostPort) -> bool {
        let any = |port: &HostPort| port.address == "0.0.0.0";
        self.protocol == other.protocol
            && self.number == other.number
            && (any(self) || any(other) || self.address == other.address)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    pub namespace: String,
    pub labels: Labels,
    node_selector: Vec<(String, String)>,
    node_terms: Option<Vec<NodeTerm>>,
    /// The only nodes that its terms can mean; `None`: they may be any.
    pub named_nodes: Option<BTreeSet<String>>,
    pub tolerations: Vec<Toleration>,
    pub resources: Resources,
    pub ports: Vec<HostPort>,
    pub near: Vec<PodTerm>,
    pub apart: Vec<PodTerm>,
    pub spread: Vec<Spread>,
    pub wishes: Wishes,
    pub preempts: bool,
}

impl Needs {
    pub fn of(pod: &Value) -> Needs {
        Needs {
            namespace: object::namespace(pod).to_owned(),
            labels: labels(pod),
            node_selector: object::pairs(pod, "/spec/nodeSelector")
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            node_terms: NodeTerm::required(pod),
            named_nodes: named_nodes(pod),
            tolerations: Toleration::all(pod),
            resources: resources(pod),
            ports: host_ports(pod),
            near: PodTerm::required(pod, "podAffinity"),
            apart: PodTerm::required(pod, "podAntiAffinity"),
            spread: Spread::all(pod),
            wishes: Wishes::of(pod),
            preempts: object::text(pod, "/spec/preemptionPolicy") != "Never",
        }
    }

    /// Whether the pod's selector and its node affinity allow the node.
    pub fn selects(&self, name: &str, labels: &Labels) -> bool {
        self.node_selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
            && self
                .node_terms
                .as_ref()
                .is_none_or(|terms| terms.iter().any(|term| term.matches(name, labels)))
    }
}

/// What a pod needs at once: its containers and sidecars together, or the largest of its init
/// containers beside the sidecars before it, and what it costs to run a pod at all (`PodRequests`).
fn resources(pod: &Value) -> Resources {
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in object::list(pod, "/spec/initContainers") {
        let asked = Resources::of_container(container);
        if object::text(container, "/restartPolicy") == "Always" {
            sidecars = sidecars.plus(&asked);
            starting = starting.max(&sidecars);
        } else {
            starting = starting.max(&sidecars.clone().plus(&asked));
        }
    }
    let running = object::list(pod, "/spec/containers")
        .iter()
        .fold(sidecars, |sum, container| {
            sum.plus(&Resources::of_container(container))
        });
    let overhead = Resources::of(&pod["spec"]["overhead"]);
    running.max(&starting).plus(&overhead)
}

fn host_ports(pod: &Value) -> Vec<HostPort> {
    let sidecars = object::list(pod, "/spec/initContainers")
        .iter()
        .filter(|container| object::text(container, "/restartPolicy") == "Always");
    object::list(pod, "/spec/containers")
        .iter()
        .chain(sidecars)
        .flat_map(|container| object::list(container, "/ports"))
        .filter_map(|port| {
            let number = port.get("hostPort").and_then(Value::as_i64)?;
            let or = |text: &str, absent: &str| match text {
                "" => absent.to_owned(),
                text => text.to_owned(),
            };
            (number > 0).then(|| HostPort {
                address: or(object::text(port, "/hostIP"), "0.0.0.0"),
                protocol: or(object::text(port, "/protocol"), "TCP"),
                number,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn init_containers_need_what_is_not_there_yet() {
        let asks = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = asks("200m");
        sidecar["restartPolicy"] = "Always".into();
        let cpu = |init: Value, containers: Value| {
            let pod = json!({"spec": {"initContainers": init, "containers": containers}});
            Needs::of(&pod).resources.get("cpu")
        };
        assert_eq!(cpu(json!([]), json!([asks("1"), asks("500m")])), 1500);
        assert_eq!(cpu(json!([asks("2")]), json!([asks("1")])), 2000);
        assert_eq!(
            cpu(json!([sidecar, asks("1")]), json!([asks("500m")])),
            1200
        );
        let limited = json!([{"resources": {"limits": {"cpu": 2}}}]);
        assert_eq!(cpu(json!([]), limited), 2000);
        let heavy = json!({"spec": {"overhead": {"cpu": "250m"}, "containers": [asks("1")]}});
        assert_eq!(Needs::of(&heavy).resources.get("cpu"), 1250);
    }

    #[test]
    fn an_address_and_all_addresses_collide() {
        let port = |address: &str| HostPort {
            address: address.into(),
            protocol: "TCP".into(),
            number: 80,
        };
        assert!(port("0.0.0.0").collides(&port("10.0.0.1")));
        assert!(!port("10.0.0.2").collides(&port("10.0.0.1")));
    }
}
