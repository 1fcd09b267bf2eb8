//! What selects what: the objects of one kind that carry a selector, and which of them a change of
//! another object is about.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::informer::Seen;
use super::queue::Queue;
use crate::server::selector::LabelSelector;
use crate::server::store::{EventKind, StoredObject};

pub struct Selectors {
    /// The selector of an object; `None` where it selects nothing.
    of: fn(&Value) -> Option<LabelSelector>,
    by_namespace: HashMap<String, HashMap<Arc<str>, LabelSelector>>,
}

impl Selectors {
    pub fn new(of: fn(&Value) -> Option<LabelSelector>) -> Selectors {
        Selectors {
            of,
            by_namespace: HashMap::new(),
        }
    }

    /// Objects that select: each of them is to be looked at, those that are gone too.
    pub fn see(&mut self, seen: Seen, queue: &mut Queue) {
        match seen {
            Seen::All(objects) => {
                self.add_all(queue);
                self.by_namespace.clear();
                for object in objects {
                    self.see_one(&object, false, queue);
                }
            }
            Seen::Changes(events) => {
                for event in events {
                    self.see_one(&event.object, event.kind == EventKind::Deleted, queue);
                }
            }
        }
    }

    fn see_one(&mut self, object: &StoredObject, deleted: bool, queue: &mut Queue) {
        queue.add(object.key.clone());
        let objects = self
            .by_namespace
            .entry(object.namespace().to_owned())
            .or_default();
        match (self.of)(&object.value()).filter(|_| !deleted) {
            Some(selector) => objects.insert(object.key.clone(), selector),
            None => objects.remove(&object.key),
        };
        if objects.is_empty() {
            self.by_namespace.remove(object.namespace());
        }
    }

    /// Objects that are selected: whatever selects them now or did before is to be looked at.
    pub fn see_selected(&self, seen: Seen, queue: &mut Queue) {
        match seen {
            Seen::All(_) => self.add_all(queue),
            Seen::Changes(events) => {
                for event in events {
                    self.add_selecting(&event.object, queue);
                    if let Some(previous) = &event.previous {
                        self.add_selecting(previous, queue);
                    }
                }
            }
        }
    }

    pub fn add_selecting(&self, object: &StoredObject, queue: &mut Queue) {
        let selectors = self.by_namespace.get(object.namespace());
        for (key, selector) in selectors.into_iter().flatten() {
            if selector.matches(|key| object.label(key)) {
                queue.add(key.clone());
            }
        }
    }

    pub fn add_all(&self, queue: &mut Queue) {
        for selectors in self.by_namespace.values() {
            selectors.keys().for_each(|key| queue.add(key.clone()));
        }
    }
}
