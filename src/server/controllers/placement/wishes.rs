//! Which of the nodes that suit a pod suits it best (kube-scheduler's scores). Pure.
//!
//! Each kind of wish gives a node up to a hundred points, and counts as much as in kube-scheduler's
//! default profile: taints that it would rather not see 3, node affinity, spreading and affinity to
//! other pods 2 each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::affinity::{NodeTerm, PodTerm};
use super::needs::Needs;
use super::neighbours::{Cluster, Placed};
use super::node::Node;
use super::spread::Spreading;
use super::taint::{Effect, Toleration};

const MOST: i64 = 100;

/// What a pod would like, and how much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    nodes: Vec<(i64, NodeTerm)>,
    near: Vec<(i64, PodTerm)>,
    apart: Vec<(i64, PodTerm)>,
}

impl Wishes {
    pub fn of(pod: &Value) -> Wishes {
        Wishes {
            nodes: NodeTerm::preferred(pod),
            near: PodTerm::preferred(pod, "podAffinity"),
            apart: PodTerm::preferred(pod, "podAntiAffinity"),
        }
    }

    fn is_empty(&self) -> bool {
        self.nodes.is_empty() && !self.concern_pods()
    }

    fn concern_pods(&self) -> bool {
        !self.near.is_empty() || !self.apart.is_empty()
    }
}

/// Whether a placed pod has something to say about where others go.
pub fn has_opinions(pod: &Needs) -> bool {
    !pod.near.is_empty() || pod.wishes.concern_pods()
}

/// Whether one node can be better than another for this pod, leaving aside how full they are.
pub fn can_differ(pod: &Needs, nodes: &BTreeMap<String, Node>, opinions: bool) -> bool {
    opinions
        || !pod.wishes.is_empty()
        || pod.spread.iter().any(|spread| !spread.is_hard)
        || nodes
            .values()
            .any(|node| disliked(node, &pod.tolerations) > 0)
}

/// The points of each of the `fits`. `others`: the placed pods that [have opinions](has_opinions).
pub fn points<'a>(
    pod: &'a Needs,
    cluster: &Cluster<'a>,
    others: impl Iterator<Item = &'a Arc<str>>,
    fits: &[&'a Node],
) -> Vec<i64> {
    let each = |of: &dyn Fn(&Node) -> i64| fits.iter().map(|node| of(node)).collect::<Vec<_>>();
    let taints = against_highest(each(&|node| disliked(node, &pod.tolerations)))
        .into_iter()
        .map(|points| MOST - points);
    let liked = |node: &Node| -> i64 {
        let terms = pod.wishes.nodes.iter();
        let held = terms.filter(|(_, term)| term.matches(&node.name, &node.labels));
        held.map(|(weight, _)| weight).sum()
    };
    let affinity = against_highest(each(&liked));
    let spreading = Spreading::of(pod, cluster, false);
    let spread = evenness(fits.iter().map(|node| spreading.crowd(node)).collect());
    let feelings = feelings(pod, cluster, others);
    let company = between_extremes(each(&|node| {
        let parts = feelings
            .iter()
            .filter(|((key, value), _)| node.labels.get(*key).is_some_and(|own| own == value));
        parts.map(|(_, weight)| weight).sum()
    }));
    taints
        .zip(affinity)
        .zip(spread)
        .zip(company)
        .map(|(((taints, affinity), spread), company)| {
            let spread = if spreading.is_empty() { 0 } else { spread };
            3 * taints + 2 * affinity + 2 * spread + 2 * company
        })
        .collect()
}

/// How many taints of the node ask a pod to stay away, without insisting on it.
fn disliked(node: &Node, tolerations: &[Toleration]) -> i64 {
    let soft = node.taints.iter().filter(|taint| {
        taint.effect == Effect::PreferNoSchedule
            && !tolerations.iter().any(|one| one.tolerates(taint))
    });
    i64::try_from(soft.count()).unwrap_or(i64::MAX)
}

/// How much is gained by being in a part of the cluster: by the pod's own wishes, and by what the pods
/// there wish, or need, in turn.
fn feelings<'a>(
    pod: &'a Needs,
    cluster: &Cluster<'a>,
    others: impl Iterator<Item = &'a Arc<str>>,
) -> HashMap<(&'a str, &'a str), i64> {
    /// What being needed by a pod that is there already counts (`hardPodAffinityWeight`).
    const NEEDED: i64 = 1;
    let mut feelings = HashMap::new();
    let mut feel = |placed: &'a Placed, term: &'a PodTerm, about: &Needs, weight: i64| {
        let key = term.topology_key.as_str();
        let node = cluster.nodes.get(&placed.node);
        if let Some(value) = node.and_then(|node| node.labels.get(key))
            && term.matches(&about.namespace, &about.labels, cluster.namespaces)
        {
            *feelings.entry((key, value.as_str())).or_default() += weight;
        }
    };
    if pod.wishes.concern_pods() {
        for placed in cluster.placed.values() {
            for (weight, term) in &pod.wishes.near {
                feel(placed, term, &placed.needs, *weight);
            }
            for (weight, term) in &pod.wishes.apart {
                feel(placed, term, &placed.needs, -weight);
            }
        }
    }
    for placed in others.filter_map(|key| cluster.placed.get(key)) {
        for term in &placed.needs.near {
            feel(placed, term, pod, NEEDED);
        }
        for (weight, term) in &placed.needs.wishes.near {
            feel(placed, term, pod, *weight);
        }
        for (weight, term) in &placed.needs.wishes.apart {
            feel(placed, term, pod, -weight);
        }
    }
    feelings
}

/// The highest is a hundred.
fn against_highest(mut points: Vec<i64>) -> Vec<i64> {
    let highest = points.iter().copied().max().unwrap_or(0);
    for one in &mut points {
        *one = if highest == 0 {
            0
        } else {
            *one * MOST / highest
        };
    }
    points
}

/// The lowest is nothing, the highest a hundred.
fn between_extremes(mut points: Vec<i64>) -> Vec<i64> {
    let highest = points.iter().copied().max().unwrap_or(0);
    let lowest = points.iter().copied().min().unwrap_or(0);
    for one in &mut points {
        *one = match highest - lowest {
            0 => 0,
            range => (*one - lowest) * MOST / range,
        };
    }
    points
}

/// The emptiest is a hundred, and what is nowhere is nothing.
fn evenness(crowds: Vec<Option<i64>>) -> Vec<i64> {
    let known = || crowds.iter().flatten().copied();
    let highest = known().max().unwrap_or(0);
    let lowest = known().min().unwrap_or(0);
    let points = |crowd: i64| match highest {
        0 => MOST,
        highest => (highest + lowest - crowd) * MOST / highest,
    };
    let each = crowds.iter();
    each.map(|crowd| crowd.map_or(0, points)).collect()
}
