//! What a pod asks of its node. Pure.

use serde_json::Value;

use super::affinity::{Labels, NodeTerm, PodTerm, labels};
use super::quantity;
use super::taint::Toleration;
use crate::server::object;

/// Thousandths of processors and of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu: i64,
    pub memory: i64,
}

impl Resources {
    fn of(container: &Value) -> Resources {
        let asked = |resource: &str| {
            let of = |kind: &str| {
                let quantity = container.pointer(&format!("/resources/{kind}/{resource}"))?;
                quantity::of(quantity)
            };
            of("requests").or_else(|| of("limits")).unwrap_or(0)
        };
        Resources {
            cpu: asked("cpu"),
            memory: asked("memory"),
        }
    }

    pub fn plus(self, other: Resources) -> Resources {
        Resources {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    pub fn minus(self, other: Resources) -> Resources {
        Resources {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
        }
    }

    fn max(self, other: Resources) -> Resources {
        Resources {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
        }
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

#[derive(Debug, Clone)]
pub struct Needs {
    pub namespace: String,
    pub labels: Labels,
    node_selector: Vec<(String, String)>,
    node_terms: Option<Vec<NodeTerm>>,
    pub tolerations: Vec<Toleration>,
    pub resources: Resources,
    pub ports: Vec<HostPort>,
    pub near: Vec<PodTerm>,
    pub apart: Vec<PodTerm>,
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
            tolerations: Toleration::all(pod),
            resources: resources(pod),
            ports: host_ports(pod),
            near: PodTerm::required(pod, "podAffinity"),
            apart: PodTerm::required(pod, "podAntiAffinity"),
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
/// containers beside the sidecars before it (`PodRequests`).
fn resources(pod: &Value) -> Resources {
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in object::list(pod, "/spec/initContainers") {
        let asked = Resources::of(container);
        if object::text(container, "/restartPolicy") == "Always" {
            sidecars = sidecars.plus(asked);
            starting = starting.max(sidecars);
        } else {
            starting = starting.max(sidecars.plus(asked));
        }
    }
    let running = object::list(pod, "/spec/containers")
        .iter()
        .fold(sidecars, |sum, container| {
            sum.plus(Resources::of(container))
        });
    running.max(starting)
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
            Needs::of(&pod).resources.cpu
        };
        assert_eq!(cpu(json!([]), json!([asks("1"), asks("500m")])), 1500);
        assert_eq!(cpu(json!([asks("2")]), json!([asks("1")])), 2000);
        assert_eq!(
            cpu(json!([sidecar, asks("1")]), json!([asks("500m")])),
            1200
        );
        let limited = json!([{"resources": {"limits": {"cpu": 2}}}]);
        assert_eq!(cpu(json!([]), limited), 2000);
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
