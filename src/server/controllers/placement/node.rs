//! What is known of a node, and why it does not suit a pod. Pure.

use std::collections::HashMap;

use serde_json::Value;

use super::affinity::{Labels, labels};
use super::needs::{HostPort, NATIVE, Needs, Resources};
use super::taint::{Effect, NOT_READY, Taint, UNREACHABLE, UNSCHEDULABLE, untolerated};
use crate::server::object;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub labels: Labels,
    /// Those that its conditions imply come first: a node is avoided from the moment it fails.
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    /// What it has for pods. What every node has and this one does not name is without end.
    allocatable: Resources,
}

/// Why a node does not suit a pod, in the words of kube-scheduler's plugins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    pub reason: String,
    /// Whether fewer or other pods on the node would change it.
    pub could_change: bool,
}

impl Refusal {
    pub fn lasting(reason: impl Into<String>) -> Refusal {
        Refusal {
            reason: reason.into(),
            could_change: false,
        }
    }

    pub fn passing(reason: impl Into<String>) -> Refusal {
        Refusal {
            reason: reason.into(),
            could_change: true,
        }
    }
}

impl Node {
    pub fn of(node: &Value) -> Node {
        let ready = object::condition(node, "Ready").map(|ready| object::text(ready, "/status"));
        let implied = match ready {
            Some("True") => None,
            Some("Unknown") => Some(Taint::new(UNREACHABLE, Effect::NoSchedule)),
            _ => Some(Taint::new(NOT_READY, Effect::NoSchedule)),
        };
        let said = object::list(node, "/spec/taints")
            .iter()
            .filter_map(Taint::of);
        Node {
            name: object::name(node).to_owned(),
            labels: labels(node),
            taints: implied.into_iter().chain(said).collect(),
            unschedulable: node.pointer("/spec/unschedulable") == Some(&Value::Bool(true))
                || object::is_terminating(node),
            allocatable: Resources::of(&node["status"]["allocatable"]),
        }
    }

    /// Why the pod must not be on this node whatever else is: the first of kube-scheduler's plugins
    /// NodeUnschedulable, TaintToleration and NodeAffinity that says so.
    pub fn refuses(&self, pod: &Needs) -> Option<Refusal> {
        if let Some(named) = &pod.named_nodes
            && !named.is_empty()
            && !named.contains(&self.name)
        {
            // Not even looked at.
            return Some(Refusal::lasting(
                "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            ));
        }
        let cordon = Taint::new(UNSCHEDULABLE, Effect::NoSchedule);
        if self.unschedulable && untolerated(&[cordon], &pod.tolerations).is_some() {
            return Some(Refusal::lasting("node(s) were unschedulable"));
        }
        if let Some(taint) = untolerated(&self.taints, &pod.tolerations) {
            return Some(Refusal::lasting(format!(
                "node(s) had untolerated taint {{{}: {}}}",
                taint.key, taint.value
            )));
        }
        (!pod.selects(&self.name, &self.labels))
            .then(|| Refusal::lasting("node(s) didn't match Pod's node affinity/selector"))
    }

    /// Whether a taint keeps the pod off, and if so, whether it also drives away pods that are there.
    pub fn repels(&self, pod: &Needs) -> Option<bool> {
        let drives: Vec<Taint> = self
            .taints
            .iter()
            .filter(|taint| taint.effect == Effect::NoExecute)
            .cloned()
            .collect();
        untolerated(&self.taints, &pod.tolerations)
            .map(|_| untolerated(&drives, &pod.tolerations).is_some())
    }

    /// Why what is on the node leaves no place for the pod: NodePorts, then NodeResourcesFit.
    pub fn is_full_for(&self, pod: &Needs, usage: &Usage) -> Vec<Refusal> {
        let collides = |port: &HostPort| usage.ports.iter().any(|used| used.collides(port));
        if pod.ports.iter().any(collides) {
            return vec![Refusal::passing(
                "node(s) didn't have free ports for the requested pod ports",
            )];
        }
        let mut refusals = Vec::new();
        let most = self.allocatable.0.get("pods");
        if most.is_some_and(|most| usage.pods >= most / 1000) {
            refusals.push(Refusal::passing("Too many pods"));
        }
        for (name, asked) in &pod.resources.0 {
            let has = match self.allocatable.0.get(name) {
                Some(has) => *has,
                None if NATIVE.contains(&name.as_str()) => continue,
                None => 0,
            };
            if *asked > 0 && *asked > has.saturating_sub(usage.resources.get(name)) {
                refusals.push(Refusal {
                    reason: format!("Insufficient {name}"),
                    could_change: *asked <= has,
                });
            }
        }
        refusals
    }
}

/// What the pods on a node take of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    pub pods: i64,
    resources: Resources,
    ports: Vec<HostPort>,
}

impl Usage {
    pub fn add(&mut self, pod: &Needs) {
        self.pods += 1;
        self.resources = std::mem::take(&mut self.resources).plus(&pod.resources);
        self.ports.extend_from_slice(&pod.ports);
    }

    pub fn remove(&mut self, pod: &Needs) {
        self.pods -= 1;
        self.resources = std::mem::take(&mut self.resources).minus(&pod.resources);
        for port in &pod.ports {
            if let Some(place) = self.ports.iter().position(|used| used == port) {
                self.ports.swap_remove(place);
            }
        }
    }
}

/// In the words of kube-scheduler's `FitError`: how many nodes refuse for which reasons, and that
/// nobody is sent away for this pod.
pub fn why_nowhere(refusals: &[Vec<Refusal>], preempts: bool) -> String {
    if refusals.is_empty() {
        return "no nodes available to schedule pods".into();
    }
    let nodes = refusals.len();
    let reasons = refusals
        .iter()
        .flatten()
        .map(|refusal| refusal.reason.as_str());
    let preemption = match preempts {
        false => "not eligible due to preemptionPolicy=Never.".to_owned(),
        true => {
            let each = refusals.iter().map(|of_node| {
                match of_node.iter().all(|refusal| refusal.could_change) {
                    true => "No preemption victims found for incoming pod",
                    false => "Preemption is not helpful for scheduling",
                }
            });
            format!("0/{nodes} nodes are available: {}.", counted(each))
        }
    };
    format!(
        "0/{nodes} nodes are available: {}. preemption: {preemption}",
        counted(reasons)
    )
}

fn counted<'a>(reasons: impl Iterator<Item = &'a str>) -> String {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut counted: Vec<String> = counts
        .into_iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    counted.sort();
    counted.join(", ")
}
