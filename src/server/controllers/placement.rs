//! Which node a pod goes to. Pure: the scheduler's knowledge and its decisions.
//!
//! Counts are kept as pods come and go, so that a burst of pods costs one look at the nodes each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::server::kinds::pod;
use crate::server::object;

/// What the scheduler knows of nodes and pods.
#[derive(Default)]
pub struct Placement {
    nodes: BTreeMap<String, Node>,
    /// Pods that occupy a node, and which.
    placed: HashMap<Arc<str>, String>,
    /// Pods per node name, also for nodes that are not known (yet).
    counts: HashMap<String, usize>,
    pending: BTreeMap<Arc<str>, Pending>,
    /// Pending pods that fitted nowhere the last time.
    unfit: BTreeSet<Arc<str>>,
}

struct Node {
    labels: HashMap<String, String>,
    ready: bool,
    unschedulable: bool,
}

struct Pending {
    node_selector: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    Bind { pod: Arc<str>, node: String },
    Unfit { pod: Arc<str>, message: String },
}

impl Placement {
    /// A node is as given.
    pub fn node(&mut self, node: &Value) {
        let known = Node {
            labels: object::pairs(node, "/metadata/labels")
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            ready: object::condition(node, "Ready")
                .is_some_and(|ready| object::text(ready, "/status") == "True"),
            unschedulable: node.pointer("/spec/unschedulable") == Some(&Value::Bool(true))
                || object::is_terminating(node),
        };
        let before = self.nodes.insert(object::name(node).to_owned(), known);
        let now = &self.nodes[object::name(node)];
        // Heartbeats change nothing here and must not cost a look at every pending pod.
        if !before.is_some_and(|before| before.same(now)) {
            self.unfit.clear();
        }
    }

    pub fn node_gone(&mut self, name: &str) {
        if self.nodes.remove(name).is_some() {
            self.unfit.clear();
        }
    }

    pub fn forget_nodes(&mut self) {
        self.nodes.clear();
        self.unfit.clear();
    }

    pub fn forget_pods(&mut self) {
        self.placed.clear();
        self.counts.clear();
        self.pending.clear();
        self.unfit.clear();
    }

    /// A pod occupies a node.
    pub fn pod_placed(&mut self, key: &Arc<str>, node: &str) {
        if self.placed.get(key).is_some_and(|before| before == node) {
            return;
        }
        self.pod_gone(key);
        self.placed.insert(key.clone(), node.to_owned());
        *self.counts.entry(node.to_owned()).or_default() += 1;
    }

    /// A pod has no node yet.
    pub fn pod_pending(&mut self, key: &Arc<str>, pod: &Value) {
        let mine = object::text(pod, "/spec/schedulerName") == "default-scheduler";
        if !mine || object::is_terminating(pod) || pod::is_finished(pod) {
            return self.pod_gone(key);
        }
        self.pod_left(key);
        let node_selector = object::pairs(pod, "/spec/nodeSelector")
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        self.pending.insert(key.clone(), Pending { node_selector });
    }

    /// A pod is gone, or done with its node.
    pub fn pod_gone(&mut self, key: &Arc<str>) {
        self.pod_left(key);
        self.pending.remove(key);
        self.unfit.remove(key);
    }

    fn pod_left(&mut self, key: &Arc<str>) {
        if let Some(node) = self.placed.remove(key)
            && let Some(count) = self.counts.get_mut(&node)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&node);
            }
        }
    }

    /// Whether there is anything to decide.
    pub fn has_open(&self) -> bool {
        self.pending.len() > self.unfit.len()
    }

    /// Decides up to `limit` pods. A pod that is bound here counts on its node from now on; call
    /// [`Placement::pod_pending`] or [`Placement::pod_gone`] where that did not come true.
    pub fn decide(&mut self, limit: usize) -> Vec<Decision> {
        let open: Vec<Arc<str>> = self
            .pending
            .keys()
            .filter(|key| !self.unfit.contains(*key))
            .take(limit)
            .cloned()
            .collect();
        open.into_iter()
            .map(|pod| match self.best(&self.pending[&pod]) {
                Some(node) => {
                    self.pod_placed(&pod, &node);
                    Decision::Bind { pod, node }
                }
                None => {
                    let message = self.why_nowhere(&self.pending[&pod]);
                    self.unfit.insert(pod.clone());
                    Decision::Unfit { pod, message }
                }
            })
            .collect()
    }

    /// The node with the fewest pods; of equal ones the first by name.
    fn best(&self, pod: &Pending) -> Option<String> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.refuses(pod).is_none())
            .min_by_key(|(name, _)| self.counts.get(*name).copied().unwrap_or(0))
            .map(|(name, _)| name.clone())
    }

    /// In the words of kube-scheduler's `FitError`.
    fn why_nowhere(&self, pod: &Pending) -> String {
        if self.nodes.is_empty() {
            return "no nodes available to schedule pods".into();
        }
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in self.nodes.values().filter_map(|node| node.refuses(pod)) {
            *reasons.entry(reason).or_default() += 1;
        }
        let mut reasons: Vec<String> = reasons
            .into_iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        reasons.sort();
        format!(
            "0/{} nodes are available: {}.",
            self.nodes.len(),
            reasons.join(", ")
        )
    }
}

impl Node {
    fn refuses(&self, pod: &Pending) -> Option<&'static str> {
        if self.unschedulable {
            return Some("node(s) were unschedulable");
        }
        if !self.ready {
            return Some("node(s) had untolerated taint {node.kubernetes.io/not-ready: }");
        }
        let selected = pod
            .node_selector
            .iter()
            .all(|(key, value)| self.labels.get(key) == Some(value));
        (!selected).then_some("node(s) didn't match Pod's node affinity/selector")
    }

    fn same(&self, other: &Node) -> bool {
        self.ready == other.ready
            && self.unschedulable == other.unschedulable
            && self.labels == other.labels
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, labels: Value, status: &str) -> Value {
        json!({
            "metadata": {"name": name, "labels": labels},
            "status": {"conditions": [{"type": "Ready", "status": status}]},
        })
    }

    fn pod(selector: Value) -> Value {
        json!({"spec": {"schedulerName": "default-scheduler", "nodeSelector": selector}})
    }

    fn bound(decisions: &[Decision]) -> Vec<&str> {
        decisions
            .iter()
            .map(|decision| match decision {
                Decision::Bind { node, .. } => node.as_str(),
                Decision::Unfit { message, .. } => message.as_str(),
            })
            .collect()
    }

    #[test]
    fn a_burst_spreads_over_the_emptiest_nodes() {
        let mut placement = Placement::default();
        for name in ["a", "b", "c"] {
            placement.node(&node(name, json!({}), "True"));
        }
        placement.pod_placed(&"pods/x/old".into(), "a");
        for index in 0..5 {
            placement.pod_pending(&format!("pods/x/{index}").into(), &pod(json!({})));
        }
        assert_eq!(bound(&placement.decide(9)), ["b", "c", "a", "b", "c"]);
        assert_eq!(placement.decide(9), []);
    }

    #[test]
    fn the_reasons_are_counted_and_a_node_change_is_another_chance() {
        let mut placement = Placement::default();
        placement.pod_pending(&"p".into(), &pod(json!({"disk": "ssd"})));
        assert_eq!(
            bound(&placement.decide(9)),
            ["no nodes available to schedule pods"]
        );
        placement.node(&node("a", json!({}), "True"));
        placement.node(&node("b", json!({}), "True"));
        placement.node(&node("c", json!({"disk": "ssd"}), "Unknown"));
        assert_eq!(
            bound(&placement.decide(9)),
            ["0/3 nodes are available: 1 node(s) had untolerated taint \
              {node.kubernetes.io/not-ready: }, 2 node(s) didn't match Pod's node \
              affinity/selector."]
        );
        placement.node(&node("a", json!({}), "True"));
        assert_eq!(placement.decide(9), [], "a heartbeat is no change");
        placement.node(&node("c", json!({"disk": "ssd"}), "True"));
        assert_eq!(bound(&placement.decide(9)), ["c"]);
    }

    #[test]
    fn a_finished_pod_frees_its_place() {
        let mut placement = Placement::default();
        placement.node(&node("a", json!({}), "True"));
        placement.node(&node("b", json!({}), "True"));
        placement.pod_placed(&"one".into(), "a");
        placement.pod_placed(&"two".into(), "b");
        placement.pod_gone(&"two".into());
        placement.pod_pending(&"three".into(), &pod(json!({})));
        assert_eq!(bound(&placement.decide(9)), ["b"]);
    }
}
