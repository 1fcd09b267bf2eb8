//! Nodes that fall silent become unknown.
//!
//! A node's heartbeat is its Lease in `kube-node-lease`. When it was last renewed is judged by this
//! process's own clock, from when it saw the change: the clocks of nodes need not agree with it.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::informer::{Informer, Seen};
use super::{NODE_GRACE, at, note};
use crate::server::kinds::lease::LEASES;
use crate::server::kinds::node::NODES;
use crate::server::object;
use crate::server::status::ApiError;
use crate::server::store::{Change, EventKind, Store};

const LEASE_NAMESPACE: &str = "kube-node-lease";

pub async fn run(store: Store) {
    let mut nodes = Informer::new(&store, &NODES);
    let mut leases = Informer::new(&store, &LEASES);
    let mut heartbeats = Heartbeats::default();
    loop {
        tokio::select! {
            seen = nodes.next() => heartbeats.see_nodes(seen, Instant::now()),
            seen = leases.next() => heartbeats.see_leases(seen, Instant::now()),
            () = at(heartbeats.next_deadline()) => {}
        }
        for node in heartbeats.silent(Instant::now()) {
            mark_unknown(&store, node).await;
        }
    }
}

/// Until when each node is believed to live; `None` once it has been given up.
#[derive(Default)]
struct Heartbeats {
    deadlines: HashMap<String, Option<Instant>>,
}

impl Heartbeats {
    fn see_nodes(&mut self, seen: Seen, now: Instant) {
        match seen {
            // After a start every node gets the whole period: it may have been renewed meanwhile.
            Seen::All(nodes) => {
                self.deadlines = nodes
                    .iter()
                    .map(|node| (node.name().to_owned(), Some(now + NODE_GRACE)))
                    .collect();
            }
            Seen::Changes(events) => {
                for event in events {
                    let name = event.object.name();
                    if event.kind == EventKind::Deleted {
                        self.deadlines.remove(name);
                    } else if is_ready(&event.object.value()) {
                        self.deadlines
                            .insert(name.to_owned(), Some(now + NODE_GRACE));
                    } else {
                        self.deadlines
                            .entry(name.to_owned())
                            .or_insert(Some(now + NODE_GRACE));
                    }
                }
            }
        }
    }

    fn see_leases(&mut self, seen: Seen, now: Instant) {
        let Seen::Changes(events) = seen else {
            return;
        };
        for event in events {
            let lease = &event.object;
            if lease.namespace() == LEASE_NAMESPACE
                && event.kind != EventKind::Deleted
                && let Some(deadline) = self.deadlines.get_mut(lease.name())
            {
                *deadline = Some(now + NODE_GRACE);
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.values().flatten().min().copied()
    }

    fn silent(&mut self, now: Instant) -> Vec<String> {
        self.deadlines
            .iter_mut()
            .filter(|(_, deadline)| deadline.is_some_and(|deadline| deadline <= now))
            .map(|(node, deadline)| {
                *deadline = None;
                node.clone()
            })
            .collect()
    }
}

fn is_ready(node: &serde_json::Value) -> bool {
    object::condition(node, "Ready").is_some_and(|ready| object::text(ready, "/status") == "True")
}

async fn mark_unknown(store: &Store, name: String) {
    let marked = store
        .write(move |view| {
            let node = view
                .get(&NODES.key("", &name))
                .ok_or_else(|| ApiError::not_found(&NODES, &name))?;
            let mut value = node.value();
            let known = object::condition(&value, "Ready");
            if known.is_some_and(|ready| object::text(ready, "/status") == "Unknown") {
                return Ok(Change::Keep(node));
            }
            let heard = known
                .and_then(|ready| ready.get("lastHeartbeatTime"))
                .cloned();
            let mut condition = json!({
                "type": "Ready",
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
            });
            if let Some(heard) = heard {
                condition["lastHeartbeatTime"] = heard;
            }
            object::set_condition(&mut value, condition, &object::timestamp(Timestamp::now()));
            Ok(Change::Put {
                resource: &NODES,
                value,
            })
        })
        .await;
    note("mark a silent node", marked);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::server::store::{Event, StoredObject};

    fn lease(name: &str) -> Seen {
        let lease = json!({"metadata": {"namespace": LEASE_NAMESPACE, "name": name}});
        let event = Event::new(EventKind::Modified, &LEASES, lease, 1, None);
        Seen::Changes(vec![Arc::new(event)])
    }

    #[test]
    fn a_renewed_lease_is_another_period_and_silence_is_reported_once() {
        let start = Instant::now();
        let mut heartbeats = Heartbeats::default();
        let nodes = ["a", "b"].map(|name| {
            Arc::new(StoredObject::new(
                &NODES,
                &json!({"metadata": {"name": name}}),
                1,
            ))
        });
        heartbeats.see_nodes(Seen::All(nodes.into()), start);
        heartbeats.see_leases(lease("a"), start + NODE_GRACE / 2);
        heartbeats.see_leases(lease("stranger"), start);
        assert_eq!(heartbeats.silent(start + NODE_GRACE), ["b"]);
        assert_eq!(
            heartbeats.next_deadline(),
            Some(start + NODE_GRACE / 2 + NODE_GRACE)
        );
        assert_eq!(heartbeats.silent(start + NODE_GRACE * 2), ["a"]);
        assert!(heartbeats.silent(start + NODE_GRACE * 3).is_empty());
    }
}
