//! Which node a pod goes to. Pure: the scheduler's knowledge and its decisions.
//!
//! What a node carries is counted as pods come and go, so that a burst of pods costs one look at the
//! nodes each. Of the nodes that suit a pod the one that suits it best is taken, and of those the one with
//! the fewest pods.

mod affinity;
mod needs;
mod neighbours;
mod node;
mod spread;
pub mod taint;
#[cfg(test)]
mod tests;
mod wishes;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::server::kinds::pod;
use crate::server::object;
use affinity::Labels;
use neighbours::{Cluster, Neighbours, Placed};
use node::{Refusal, Usage, why_nowhere};
use spread::Spreading;

pub use needs::Needs;
pub use node::Node;

/// What the scheduler knows of nodes and pods.
#[derive(Default)]
pub struct Placement {
    nodes: BTreeMap<String, Node>,
    namespaces: HashMap<String, Labels>,
    /// Pods that occupy a node.
    placed: HashMap<Arc<str>, Placed>,
    /// Those of them that want to be apart from others.
    loners: BTreeSet<Arc<str>>,
    /// Those that care which pods come to where they are.
    opinionated: BTreeSet<Arc<str>>,
    /// By node name, also of nodes that are not known (yet).
    usage: HashMap<String, Usage>,
    pending: HashMap<Arc<str>, Arc<Needs>>,
    /// Pending pods to decide about.
    open: BTreeSet<Arc<str>>,
    /// Pending pods that fitted nowhere the last time.
    unfit: BTreeSet<Arc<str>>,
    /// The latest needs: pods of one template share theirs.
    latest: VecDeque<Arc<Needs>>,
}

/// Needs that a pod's are compared with.
const LATEST: usize = 128;

#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    Bind { pod: Arc<str>, node: String },
    Unfit { pod: Arc<str>, message: String },
}

impl Placement {
    /// A node is as given.
    pub fn node(&mut self, node: &Value) {
        let node = Node::of(node);
        // Heartbeats change nothing here and must not cost a look at every pending pod.
        if self.nodes.get(&node.name) != Some(&node) {
            self.nodes.insert(node.name.clone(), node);
            self.retry_all();
        }
    }

    pub fn node_gone(&mut self, name: &str) {
        if self.nodes.remove(name).is_some() {
            self.retry_all();
        }
    }

    pub fn forget_nodes(&mut self) {
        self.nodes.clear();
        self.retry_all();
    }

    /// A namespace is as given; terms of affinity may select it.
    pub fn namespace(&mut self, namespace: &Value) {
        let labels = affinity::labels(namespace);
        let name = object::name(namespace).to_owned();
        if self.namespaces.get(&name) != Some(&labels) {
            self.namespaces.insert(name, labels);
            self.retry_choosy();
        }
    }

    pub fn namespace_gone(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    pub fn forget_pods(&mut self) {
        self.placed.clear();
        self.loners.clear();
        self.opinionated.clear();
        self.usage.clear();
        self.pending.clear();
        self.open.clear();
        self.unfit.clear();
    }

    /// Whether a pod is known to occupy that node, with these labels.
    pub fn knows<'a>(
        &self,
        key: &str,
        node: &str,
        mut labels: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    ) -> bool {
        self.placed.get(key).is_some_and(|placed| {
            let known = &placed.needs.labels;
            placed.node == node
                && known.len() == labels.len()
                && labels.all(|(key, value)| known.get(key).is_some_and(|known| known == value))
        })
    }

    /// A pod occupies a node.
    pub fn pod_placed(&mut self, key: &Arc<str>, node: &str, needs: Needs) {
        let needs = self.share(needs);
        self.place(key, node, needs);
    }

    fn place(&mut self, key: &Arc<str>, node: &str, needs: Arc<Needs>) {
        self.pod_left(key);
        self.not_pending(key);
        self.usage.entry(node.to_owned()).or_default().add(&needs);
        if !needs.apart.is_empty() {
            self.loners.insert(key.clone());
        }
        if wishes::has_opinions(&needs) {
            self.opinionated.insert(key.clone());
        }
        let node = node.to_owned();
        self.placed.insert(key.clone(), Placed { node, needs });
        self.retry_choosy();
    }

    /// A pod has no node yet.
    pub fn pod_pending(&mut self, key: &Arc<str>, pod: &Value) {
        let mine = object::text(pod, "/spec/schedulerName") == "default-scheduler"
            && object::list(pod, "/spec/schedulingGates").is_empty();
        if !mine || object::is_terminating(pod) || pod::is_finished(pod) {
            return self.pod_gone(key);
        }
        self.pod_left(key);
        let needs = self.share(Needs::of(pod));
        // What is only said about it, that it fits nowhere among others, is no change.
        if self.pending.get(key) != Some(&needs) {
            self.unfit.remove(key);
            self.open.insert(key.clone());
            self.pending.insert(key.clone(), needs);
        }
    }

    /// A pod is gone, or done with its node.
    pub fn pod_gone(&mut self, key: &Arc<str>) {
        self.not_pending(key);
        if self.pod_left(key) {
            // It may have made room.
            self.retry_all();
        }
    }

    fn share(&mut self, needs: Needs) -> Arc<Needs> {
        if let Some(same) = self.latest.iter().find(|one| ***one == needs) {
            return same.clone();
        }
        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        let needs = Arc::new(needs);
        self.latest.push_back(needs.clone());
        needs
    }

    fn not_pending(&mut self, key: &Arc<str>) {
        self.pending.remove(key);
        self.open.remove(key);
        self.unfit.remove(key);
    }

    fn retry_all(&mut self) {
        self.open.append(&mut self.unfit);
    }

    fn pod_left(&mut self, key: &Arc<str>) -> bool {
        let Some(placed) = self.placed.remove(key) else {
            return false;
        };
        self.loners.remove(key);
        self.opinionated.remove(key);
        if let Some(usage) = self.usage.get_mut(&placed.node) {
            usage.remove(&placed.needs);
            if usage.pods == 0 {
                self.usage.remove(&placed.node);
            }
        }
        true
    }

    /// Pods that want to be near others, or evenly spread, have another chance when others come.
    fn retry_choosy(&mut self) {
        let (pending, open) = (&self.pending, &mut self.open);
        self.unfit.retain(|key| {
            let needs = pending.get(key);
            let choosy =
                needs.is_some_and(|needs| !needs.near.is_empty() || !needs.spread.is_empty());
            if choosy {
                open.insert(key.clone());
            }
            !choosy
        });
    }

    /// Whether there is anything to decide.
    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Decides up to `limit` pods. A pod that is bound here counts on its node from now on; call
    /// [`Placement::pod_pending`] or [`Placement::pod_gone`] where that did not come true.
    pub fn decide(&mut self, limit: usize) -> Vec<Decision> {
        let open: Vec<Arc<str>> = self.open.iter().take(limit).cloned().collect();
        let mut decisions = Vec::new();
        for pod in open {
            let Some(needs) = self.pending.get(&pod).cloned() else {
                continue;
            };
            decisions.push(match self.best(&needs) {
                Ok(node) => {
                    self.place(&pod, &node, needs);
                    Decision::Bind { pod, node }
                }
                Err(message) => {
                    self.open.remove(&pod);
                    self.unfit.insert(pod.clone());
                    Decision::Unfit { pod, message }
                }
            });
        }
        decisions
    }

    /// The node that suits best; of equal ones the one with the fewest pods, and then the first by
    /// name.
    ///
    /// # Errors
    /// Why none suits.
    fn best(&self, pod: &Needs) -> Result<String, String> {
        let cluster = Cluster {
            nodes: &self.nodes,
            placed: &self.placed,
            namespaces: &self.namespaces,
        };
        let neighbours = Neighbours::of(pod, &cluster, self.loners.iter());
        let spreading = Spreading::of(pod, &cluster, true);
        let differ = wishes::can_differ(pod, &self.nodes, !self.opinionated.is_empty());
        let empty = Usage::default();
        let usage = |node: &Node| self.usage.get(&node.name).unwrap_or(&empty);
        let mut fits: Vec<&Node> = Vec::new();
        let mut refusals: Vec<Vec<Refusal>> = Vec::new();
        for node in self.nodes.values() {
            // Where only the number of pods counts, a node with more of them is not worth a look.
            let full = |best: &&Node| usage(best).pods <= usage(node).pods;
            if !differ && fits.last().is_some_and(full) {
                continue;
            }
            let refused = match node.refuses(pod) {
                Some(refusal) => vec![refusal],
                None => node.is_full_for(pod, usage(node)),
            };
            let refused = match refused.is_empty() {
                true => spreading
                    .refuse(pod, node)
                    .or_else(|| neighbours.refuse(pod, node))
                    .into_iter()
                    .collect(),
                false => refused,
            };
            match refused.is_empty() {
                true => fits.push(node),
                false => refusals.push(refused),
            }
        }
        let points = match differ {
            true => wishes::points(pod, &cluster, self.opinionated.iter(), &fits),
            false => vec![0; fits.len()],
        };
        // Of equal ones `min_by_key` takes the first.
        let best = fits
            .into_iter()
            .zip(points)
            .min_by_key(|(node, points)| (Reverse(*points), usage(node).pods));
        match best {
            Some((node, _)) => Ok(node.name.clone()),
            None => Err(why_nowhere(&refusals, pod.preempts)),
        }
    }
}
