//! Pods leave nodes whose `NoExecute` taints they do not tolerate, or not for ever.
//!
//! A pod is deleted, which its agent carries out: on a node that is silent it goes on running until
//! the node comes back or is deleted, and the pod that replaces it runs elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::Instant;

use super::event_record::{self, Record};
use super::informer::{Informer, Seen};
use super::placement::taint::{Effect, Taint, Toleration};
use super::queue::Queue;
use super::{at, note, write};
use crate::server::kinds::node::NODES;
use crate::server::kinds::pod::{self, PODS};
use crate::server::object;
use crate::server::store::{EventKind, Store, StoredObject};

const ROUND: usize = 256;

pub async fn run(store: Store) {
    let mut nodes = Informer::new(&store, &NODES);
    let mut pods = Informer::new(&store, &PODS);
    let mut tainted: HashMap<String, Vec<Timed>> = HashMap::new();
    let mut queue = Queue::default();
    loop {
        tokio::select! {
            biased;
            seen = nodes.next() => see_nodes(&store, &mut tainted, &mut queue, seen),
            seen = pods.next() => see_pods(&tainted, &mut queue, seen),
            () = at(queue.next_deadline()) => {}
        }
        while !queue.is_empty()
            || queue
                .next_deadline()
                .is_some_and(|due| due <= Instant::now())
        {
            let due = queue.take(Instant::now(), ROUND);
            let looks = due.iter().map(|key| look(&store, &tainted, key));
            let waits = join_all(looks).await;
            for (key, wait) in due.into_iter().zip(waits) {
                if let Some(wait) = wait {
                    queue.add_at(key, Instant::now() + wait);
                }
            }
        }
    }
}

/// A taint that drives pods away, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Timed {
    taint: Taint,
    since: Timestamp,
}

impl Timed {
    fn all(node: &Value) -> Vec<Timed> {
        object::list(node, "/spec/taints")
            .iter()
            .filter_map(|value| {
                let taint = Taint::of(value).filter(|taint| taint.effect == Effect::NoExecute)?;
                let since = object::parse_timestamp(object::text(value, "/timeAdded"));
                Some(Timed {
                    taint,
                    since: since.unwrap_or(Timestamp::UNIX_EPOCH),
                })
            })
            .collect()
    }
}

fn see_nodes(
    store: &Store,
    tainted: &mut HashMap<String, Vec<Timed>>,
    queue: &mut Queue,
    seen: Seen,
) {
    let nodes: Vec<(Arc<StoredObject>, bool)> = match seen {
        Seen::All(nodes) => {
            tainted.clear();
            nodes.into_iter().map(|node| (node, false)).collect()
        }
        Seen::Changes(events) => events
            .iter()
            .map(|event| (event.object.clone(), event.kind == EventKind::Deleted))
            .collect(),
    };
    for (node, deleted) in nodes {
        let now = match deleted {
            true => Vec::new(),
            false => Timed::all(&node.value()),
        };
        let name = node.name();
        let before = tainted.get(name).map_or(&[][..], Vec::as_slice);
        if before == now.as_slice() {
            continue;
        }
        if now.is_empty() {
            tainted.remove(name);
        } else {
            tainted.insert(name.to_owned(), now);
        }
        let (pods, _) = store.list(&PODS.prefix(None));
        let of_node = pods.iter().filter(|pod| pod.field("spec.nodeName") == name);
        of_node.for_each(|pod| queue.add(pod.key.clone()));
    }
}

fn see_pods(tainted: &HashMap<String, Vec<Timed>>, queue: &mut Queue, seen: Seen) {
    let mut see = |pod: &StoredObject| {
        if tainted.contains_key(pod.field("spec.nodeName")) {
            queue.add(pod.key.clone());
        }
    };
    match seen {
        Seen::All(pods) => pods.iter().for_each(|pod| see(pod)),
        Seen::Changes(events) => events.iter().for_each(|event| see(&event.object)),
    }
}

/// Evicts a pod if it is time; returns how long it may stay otherwise, if not for ever.
async fn look(
    store: &Store,
    tainted: &HashMap<String, Vec<Timed>>,
    key: &Arc<str>,
) -> Option<Duration> {
    let found = store.get(key)?;
    let taints = tainted.get(found.field("spec.nodeName"))?;
    let value = found.value();
    if object::is_terminating(&value) || pod::is_finished(&value) {
        return None;
    }
    let left = stays_for(&Toleration::all(&value), taints, Timestamp::now())?;
    if !left.is_zero() {
        return Some(left);
    }
    let record = Record {
        kind: "Normal",
        reason: "TaintManagerEviction",
        message: format!(
            "Marking for deletion Pod {}/{}",
            found.namespace(),
            found.name()
        ),
        component: "taint-eviction-controller",
    };
    event_record::record(store, &found, record).await;
    note("evict a pod", write::delete(store, &found).await);
    None
}

/// How much longer a pod may stay; `None` for ever, zero if it must go.
fn stays_for(tolerations: &[Toleration], taints: &[Timed], now: Timestamp) -> Option<Duration> {
    let each = taints.iter().filter_map(|Timed { taint, since }| {
        let mut matching = tolerations
            .iter()
            .filter(|one| one.tolerates(taint))
            .peekable();
        if matching.peek().is_none() {
            return Some(Duration::ZERO);
        }
        // Of several tolerations for one taint the shortest counts.
        let seconds = matching.filter_map(|one| one.seconds).min()?;
        let end = SignedDuration::from_secs(seconds.max(0)) - now.duration_since(*since);
        Some(Duration::try_from(end).unwrap_or(Duration::ZERO))
    });
    each.min()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_long_a_pod_may_stay() {
        let now: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
        let taints = Timed::all(&json!({"spec": {"taints": [
            {"key": "a", "effect": "NoExecute", "timeAdded": "2026-01-01T00:04:00Z"},
            {"key": "b", "effect": "NoSchedule"},
        ]}}));
        let stays = |tolerations: Value| {
            let all = Toleration::all(&json!({"spec": {"tolerations": tolerations}}));
            stays_for(&all, &taints, now)
        };
        let exists = |seconds: Value| json!({"key": "a", "operator": "Exists", "tolerationSeconds": seconds});
        assert_eq!(stays(json!([])), Some(Duration::ZERO));
        assert_eq!(stays(json!([exists(Value::Null)])), None);
        assert_eq!(
            stays(json!([exists(json!(90))])),
            Some(Duration::from_secs(30))
        );
        assert_eq!(stays(json!([exists(json!(30))])), Some(Duration::ZERO));
        assert_eq!(
            stays(json!([exists(json!(90)), exists(json!(70))])),
            Some(Duration::from_secs(10))
        );
    }
}
