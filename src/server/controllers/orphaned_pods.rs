//! Pods on nodes that do not exist: nobody will ever stop them, so they are removed.
//!
//! At once when their node is deleted; after a grace period when the node was never seen, as it may
//! be about to register.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::future::join_all;
use tokio::time::Instant;

use super::informer::{Informer, Seen};
use super::{NODE_GRACE, at, note};
use crate::server::kinds::node::NODES;
use crate::server::kinds::pod::PODS;
use crate::server::rest::{DeleteOptions, delete_in};
use crate::server::status::ApiError;
use crate::server::store::{Change, EventKind, Store, StoredObject};

pub async fn run(store: Store) {
    let mut nodes = Informer::new(&store, &NODES);
    let mut pods = Informer::new(&store, &PODS);
    let mut absences = Absences::default();
    loop {
        tokio::select! {
            seen = nodes.next() => absences.see_nodes(seen, Instant::now()),
            seen = pods.next() => absences.see_pods(seen, Instant::now()),
            () = at(absences.next_deadline()) => {}
        }
        let orphans = absences.orphans(Instant::now());
        let removals = orphans.into_iter().map(|pod| remove(&store, pod));
        for result in join_all(removals).await {
            note("remove an orphaned pod", result);
        }
    }
}

/// Which nodes exist, which pods are on which node, and since when a node with pods is missing.
#[derive(Default)]
struct Absences {
    nodes: BTreeSet<String>,
    pods: HashMap<String, BTreeSet<Arc<str>>>,
    /// When the pods of a missing node are given up.
    deadlines: BTreeMap<String, Instant>,
}

impl Absences {
    fn see_nodes(&mut self, seen: Seen, now: Instant) {
        match seen {
            Seen::All(nodes) => {
                self.nodes = nodes.iter().map(|node| node.name().to_owned()).collect();
                self.deadlines.clear();
                self.watch_missing(now);
            }
            Seen::Changes(events) => {
                for event in events {
                    let name = event.object.name();
                    if event.kind == EventKind::Deleted {
                        self.nodes.remove(name);
                        self.deadlines.insert(name.to_owned(), now);
                    } else if self.nodes.insert(name.to_owned()) {
                        self.deadlines.remove(name);
                    }
                }
            }
        }
    }

    fn see_pods(&mut self, seen: Seen, now: Instant) {
        match seen {
            Seen::All(pods) => {
                self.pods.clear();
                for pod in pods {
                    self.see_pod(&pod, false);
                }
            }
            Seen::Changes(events) => {
                for event in events {
                    self.see_pod(&event.object, event.kind == EventKind::Deleted);
                }
            }
        }
        self.watch_missing(now);
    }

    fn see_pod(&mut self, pod: &StoredObject, deleted: bool) {
        let node = pod.field("spec.nodeName");
        if node.is_empty() {
            return;
        }
        if !deleted {
            let pods = self.pods.entry(node.to_owned()).or_default();
            pods.insert(pod.key.clone());
        } else if let Some(pods) = self.pods.get_mut(node) {
            pods.remove(&pod.key);
            if pods.is_empty() {
                self.pods.remove(node);
            }
        }
    }

    fn watch_missing(&mut self, now: Instant) {
        for node in self.pods.keys().filter(|node| !self.nodes.contains(*node)) {
            self.deadlines
                .entry(node.clone())
                .or_insert(now + NODE_GRACE);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.values().min().copied()
    }

    /// The pods to remove. A deadline serves once; pods that appear later start a new one.
    fn orphans(&mut self, now: Instant) -> Vec<Arc<str>> {
        let due: Vec<String> = self
            .deadlines
            .iter()
            .filter(|(_, deadline)| **deadline <= now)
            .map(|(node, _)| node.clone())
            .collect();
        due.iter()
            .flat_map(|node| {
                self.deadlines.remove(node);
                self.pods.get(node).into_iter().flatten().cloned()
            })
            .collect()
    }
}

async fn remove(store: &Store, key: Arc<str>) -> Result<Arc<StoredObject>, ApiError> {
    store
        .write(move |view| {
            let pod = view
                .get(&key)
                .ok_or_else(|| ApiError::not_found(&PODS, &key))?;
            if view
                .get(&NODES.key("", pod.field("spec.nodeName")))
                .is_some()
            {
                return Ok(Change::Keep(pod));
            }
            let at_once = DeleteOptions {
                grace_period_seconds: Some(0),
                ..DeleteOptions::default()
            };
            delete_in(view, &pod, &at_once)
        })
        .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::store::Event;

    fn pod() -> Arc<StoredObject> {
        let pod = json!({"metadata": {"namespace": "x", "name": "p"}, "spec": {"nodeName": "a"}});
        Arc::new(StoredObject::new(&PODS, &pod, 1))
    }

    fn change(kind: EventKind) -> Seen {
        let node = json!({"metadata": {"name": "a"}});
        Seen::Changes(vec![Arc::new(Event::new(kind, &NODES, node, 1, None))])
    }

    #[test]
    fn a_missing_node_gets_its_grace_and_a_deleted_one_none() {
        let now = Instant::now();
        let mut absences = Absences::default();
        absences.see_nodes(Seen::All(vec![]), now);
        absences.see_pods(Seen::All(vec![pod()]), now);
        assert!(absences.orphans(now).is_empty());
        assert_eq!(absences.next_deadline(), Some(now + NODE_GRACE));

        absences.see_nodes(change(EventKind::Added), now);
        assert_eq!(absences.next_deadline(), None);
        absences.see_nodes(change(EventKind::Deleted), now);
        assert_eq!(absences.orphans(now).len(), 1);
        assert!(absences.orphans(now).is_empty());
    }
}
