//! How evenly pods of a kind lie over the parts of the cluster (kube-scheduler's PodTopologySpread).
//! Pure.

use std::collections::HashMap;

use serde_json::Value;

use super::affinity::Labels;
use super::needs::Needs;
use super::neighbours::Cluster;
use super::node::{Node, Refusal};
use super::taint::untolerated;
use crate::server::object;
use crate::server::selector::LabelSelector;

/// `core/v1 TopologySpreadConstraint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    topology_key: String,
    max_skew: i64,
    /// Fewer parts than this count as if one more were empty.
    min_domains: usize,
    /// Where it cannot be kept the pod waits; otherwise it goes where it breaks it least.
    pub is_hard: bool,
    /// `None` selects no pod.
    selector: Option<LabelSelector>,
    /// Labels of the pod that those it is counted with share.
    shared: Vec<(String, String)>,
    /// Nodes that the pod must not be on for these reasons do not count.
    honors_affinity: bool,
    honors_taints: bool,
}

impl Spread {
    pub fn all(pod: &Value) -> Vec<Spread> {
        object::list(pod, "/spec/topologySpreadConstraints")
            .iter()
            .map(|constraint| Spread::of(constraint, pod))
            .collect()
    }

    fn of(constraint: &Value, pod: &Value) -> Spread {
        let text = |field: &str| object::text(constraint, &format!("/{field}"));
        let number = |field: &str| constraint.get(field).and_then(Value::as_i64).unwrap_or(1);
        let keys = object::list(constraint, "/matchLabelKeys").iter();
        let shared = keys.filter_map(|key| {
            let key = key.as_str()?;
            let value = pod.pointer("/metadata/labels")?.get(key)?.as_str()?;
            Some((key.to_owned(), value.to_owned()))
        });
        Spread {
            topology_key: text("topologyKey").to_owned(),
            max_skew: number("maxSkew"),
            min_domains: usize::try_from(number("minDomains")).unwrap_or(1),
            is_hard: text("whenUnsatisfiable") != "ScheduleAnyway",
            selector: constraint.get("labelSelector").and_then(LabelSelector::of),
            shared: shared.collect(),
            honors_affinity: text("nodeAffinityPolicy") != "Ignore",
            honors_taints: text("nodeTaintsPolicy") == "Honor",
        }
    }

    fn selects(&self, labels: &Labels) -> bool {
        let shares = |(key, value): &(String, String)| labels.get(key) == Some(value);
        let selected =
            |selector: &LabelSelector| selector.matches(|key| labels.get(key).map(String::as_str));
        self.shared.iter().all(shares) && self.selector.as_ref().is_some_and(selected)
    }

    fn counts(&self, node: &Node, pod: &Needs) -> bool {
        (!self.honors_affinity || pod.selects(&node.name, &node.labels))
            && (!self.honors_taints || untolerated(&node.taints, &pod.tolerations).is_none())
    }
}

/// How many pods of each of a pod's constraints are in which part of the cluster.
pub struct Spreading<'a> {
    constraints: Vec<(&'a Spread, HashMap<&'a str, i64>)>,
}

impl<'a> Spreading<'a> {
    /// Of the hard constraints, or of the others.
    pub fn of(pod: &'a Needs, cluster: &Cluster<'a>, hard: bool) -> Spreading<'a> {
        let chosen: Vec<&Spread> = pod
            .spread
            .iter()
            .filter(|one| one.is_hard == hard)
            .collect();
        let has_all = |node: &Node| {
            let mut keys = chosen.iter().map(|one| &one.topology_key);
            keys.all(|key| node.labels.contains_key(key))
        };
        let constraints = chosen.iter().map(|spread| {
            let part = |node: &'a Node| {
                let counted = has_all(node) && spread.counts(node, pod);
                let value = node.labels.get(&spread.topology_key)?;
                counted.then_some(value.as_str())
            };
            let mut parts: HashMap<&str, i64> = cluster
                .nodes
                .values()
                .filter_map(part)
                .map(|value| (value, 0))
                .collect();
            let alike = cluster.placed.values().filter(|placed| {
                let needs = &placed.needs;
                needs.namespace == pod.namespace && spread.selects(&needs.labels)
            });
            for value in alike.filter_map(|placed| part(cluster.nodes.get(&placed.node)?)) {
                *parts.entry(value).or_default() += 1;
            }
            (*spread, parts)
        });
        Spreading {
            constraints: constraints.collect(),
        }
    }

    pub fn refuse(&self, pod: &Needs, node: &Node) -> Option<Refusal> {
        for (spread, parts) in &self.constraints {
            let Some(value) = node.labels.get(&spread.topology_key) else {
                return Some(Refusal::lasting(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                ));
            };
            let least = match parts.len() < spread.min_domains {
                true => 0,
                false => parts.values().copied().min().unwrap_or(i64::MAX),
            };
            let own = i64::from(spread.selects(&pod.labels));
            let there = parts.get(value.as_str()).copied().unwrap_or(0) + own;
            if there.saturating_sub(least) > spread.max_skew {
                return Some(Refusal::passing(
                    "node(s) didn't match pod topology spread constraints",
                ));
            }
        }
        None
    }

    /// How crowded the node's parts of the cluster are; `None` for a node outside of all parts.
    pub fn crowd(&self, node: &Node) -> Option<i64> {
        let each = self.constraints.iter().map(|(spread, parts)| {
            let value = node.labels.get(&spread.topology_key)?;
            let there = parts.get(value.as_str()).copied().unwrap_or(0);
            Some(there + spread.max_skew - 1)
        });
        each.sum()
    }

    pub fn is_empty(&self) -> bool {
        self.constraints.is_empty()
    }
}
