//! Near which pods a pod must be, and near which it must not (kube-scheduler's InterPodAffinity).
//! Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::affinity::{Labels, PodTerm};
use super::needs::Needs;
use super::node::{Node, Refusal};

/// A pod on a node.
pub struct Placed {
    pub node: String,
    pub needs: Arc<Needs>,
}

/// Parts of the cluster, by topology key and value.
type Parts<'a> = HashSet<(&'a str, &'a str)>;

/// What the pods that are placed mean for one pod that is not.
#[derive(Default)]
pub struct Neighbours<'a> {
    /// Parts where a pod is that the pod must be near to.
    near: Parts<'a>,
    /// There is no such pod, and the pod is one itself: it may be the first.
    is_first: bool,
    apart: Parts<'a>,
    /// Parts where a pod is that wants this one to be elsewhere.
    unwanted: Parts<'a>,
}

pub struct Cluster<'a> {
    pub nodes: &'a BTreeMap<String, Node>,
    pub placed: &'a HashMap<Arc<str>, Placed>,
    /// The labels of namespaces.
    pub namespaces: &'a HashMap<String, Labels>,
}

impl<'a> Neighbours<'a> {
    /// `loners`: the placed pods that have anti-affinity terms of their own.
    pub fn of(
        pod: &'a Needs,
        cluster: &Cluster<'a>,
        loners: impl Iterator<Item = &'a Arc<str>>,
    ) -> Neighbours<'a> {
        let mut neighbours = Neighbours::default();
        let about = |term: &PodTerm, other: &Needs| {
            term.matches(&other.namespace, &other.labels, cluster.namespaces)
        };
        let part = |placed: &Placed, term: &'a PodTerm| {
            let key = term.topology_key.as_str();
            let value = cluster.nodes.get(&placed.node)?.labels.get(key)?;
            Some((key, value.as_str()))
        };
        if !pod.near.is_empty() || !pod.apart.is_empty() {
            for placed in cluster.placed.values() {
                let all =
                    !pod.near.is_empty() && pod.near.iter().all(|term| about(term, &placed.needs));
                let near = pod.near.iter().filter(|_| all);
                neighbours
                    .near
                    .extend(near.filter_map(|term| part(placed, term)));
                let apart = pod.apart.iter().filter(|term| about(term, &placed.needs));
                neighbours
                    .apart
                    .extend(apart.filter_map(|term| part(placed, term)));
            }
            neighbours.is_first =
                neighbours.near.is_empty() && pod.near.iter().all(|term| about(term, pod));
        }
        for placed in loners.filter_map(|key| cluster.placed.get(key)) {
            let terms = placed.needs.apart.iter().filter(|term| about(term, pod));
            neighbours
                .unwanted
                .extend(terms.filter_map(|term| part(placed, term)));
        }
        neighbours
    }

    pub fn refuse(&self, pod: &Needs, node: &Node) -> Option<Refusal> {
        let value = |term: &'_ PodTerm| node.labels.get(&term.topology_key).map(String::as_str);
        let near = pod.near.iter().all(|term| {
            value(term).is_some_and(|value| {
                self.is_first || self.near.contains(&(term.topology_key.as_str(), value))
            })
        });
        if !near {
            return Some(Refusal::lasting("node(s) didn't match pod affinity rules"));
        }
        let apart = pod.apart.iter().any(|term| {
            value(term)
                .is_some_and(|value| self.apart.contains(&(term.topology_key.as_str(), value)))
        });
        if apart {
            return Some(Refusal::passing(
                "node(s) didn't match pod anti-affinity rules",
            ));
        }
        let unwanted = self
            .unwanted
            .iter()
            .any(|(key, value)| node.labels.get(*key).is_some_and(|own| own == value));
        unwanted
            .then(|| Refusal::passing("node(s) didn't satisfy existing pods anti-affinity rules"))
    }
}
