//! What all controllers of workloads do: they learn what has changed, find what a workload has and
//! what it could adopt, and let the workload's own kind decide.
//!
//! ```text
//!  workloads ─┐
//!  dependents ┼─► queue ─► claim (adopt, release) ─► sync ─► what it made is known at once
//!  others    ─┘
//! ```
//!
//! One task creates all that a kind of workload has, and knows what it has created before the event
//! of it comes: nothing is created twice.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all, select_all};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::event_record::{self, Record};
use super::informer::{Informer, Seen};
use super::owned::Owned;
use super::queue::Queue;
use super::selectors::Selectors;
use super::{at, note, write};
use crate::server::object;
use crate::server::resource::Resource;
use crate::server::selector::LabelSelector;
use crate::server::store::{Event, Store, StoredObject};

/// Workloads looked at together.
const ROUND: usize = 64;
/// When something could not be created, as when a namespace is going away.
pub const AGAIN: Duration = Duration::from_secs(5);

/// What is particular to a kind of workload.
pub struct Kind {
    pub workloads: &'static Resource,
    pub dependents: &'static Resource,
    /// As which it writes events.
    pub component: &'static str,
    /// What else it depends on: the workloads that an event is about; `None` for all of them.
    pub other: Option<(&'static Resource, Concerned)>,
    pub sync: for<'a> fn(&'a Store, &'a Workload) -> BoxFuture<'a, Outcome>,
}

pub type Concerned = fn(&Store, &Event) -> Option<Vec<Arc<str>>>;

/// A workload with what it has.
pub struct Workload {
    pub object: Arc<StoredObject>,
    pub value: Value,
    pub dependents: Vec<Dependent>,
    component: &'static str,
}

pub struct Dependent {
    pub object: Arc<StoredObject>,
    pub value: Value,
}

/// What became of a look at a workload.
#[derive(Default)]
pub struct Outcome {
    /// What it created.
    pub made: Vec<Arc<StoredObject>>,
    /// When to look again without being asked.
    pub again: Option<Duration>,
}

impl Outcome {
    pub fn again_in(&mut self, period: Duration) {
        self.again = Some(self.again.map_or(period, |before| before.min(period)));
    }
}

pub async fn run(store: Store, kind: &'static Kind) {
    let mut informers = vec![
        Informer::new(&store, kind.workloads),
        Informer::new(&store, kind.dependents),
    ];
    informers.extend(kind.other.map(|(other, _)| Informer::new(&store, other)));
    let mut known = Known {
        kind,
        selectors: Selectors::new(|value| LabelSelector::of(value.pointer("/spec/selector")?)),
        owned: Owned::default(),
        queue: Queue::default(),
    };
    // Both are known before the first decision, or it would create what there is already.
    for informer in &mut informers[..2] {
        let seen = informer.next().await;
        known.see(&store, informer.resource(), seen);
    }
    loop {
        known.look(&store).await;
        let looks = informers.iter_mut().map(|informer| {
            Box::pin(async {
                let resource = informer.resource();
                (resource, informer.next().await)
            })
        });
        tokio::select! {
            ((resource, seen), _, _) = select_all(looks) => known.see(&store, resource, seen),
            () = at(known.queue.next_deadline()) => {}
        }
    }
}

struct Known {
    kind: &'static Kind,
    selectors: Selectors,
    owned: Owned,
    queue: Queue,
}

impl Known {
    fn see(&mut self, store: &Store, resource: &'static Resource, seen: Seen) {
        if std::ptr::eq(resource, self.kind.workloads) {
            self.selectors.see(seen, &mut self.queue);
        } else if std::ptr::eq(resource, self.kind.dependents) {
            self.see_dependents(store, seen);
        } else if let Some((_, concerned)) = self.kind.other {
            let Seen::Changes(events) = seen else {
                return self.selectors.add_all(&mut self.queue);
            };
            for event in events {
                match concerned(store, &event) {
                    Some(keys) => keys.into_iter().for_each(|key| self.queue.add(key)),
                    None => self.selectors.add_all(&mut self.queue),
                }
            }
        }
    }

    fn see_dependents(&mut self, store: &Store, seen: Seen) {
        match seen {
            Seen::All(objects) => {
                self.owned.clear();
                for object in objects {
                    self.owned.put(&object);
                }
                self.selectors.add_all(&mut self.queue);
            }
            Seen::Changes(events) => {
                for event in events {
                    self.owned.look(store, &event.object.key);
                    self.add_concerned(&event.object);
                    if let Some(previous) = &event.previous {
                        self.add_concerned(previous);
                    }
                }
            }
        }
    }

    fn add_concerned(&mut self, dependent: &StoredObject) {
        match dependent.controller() {
            None => self.selectors.add_selecting(dependent, &mut self.queue),
            Some(owner) => {
                let prefix = self.kind.workloads.prefix(Some(dependent.namespace()));
                if let Some(key) = owner.key.as_deref().filter(|key| key.starts_with(&prefix)) {
                    self.queue.add(key.into());
                }
            }
        }
    }

    /// Looks at everything that is due.
    async fn look(&mut self, store: &Store) {
        loop {
            let keys = self.queue.take(Instant::now(), ROUND);
            if keys.is_empty() {
                return;
            }
            let looks = keys.iter().map(|key| self.look_at(store, key));
            let outcomes = join_all(looks).await;
            for (key, outcome) in keys.into_iter().zip(outcomes) {
                for made in outcome.made {
                    self.owned.put(&made);
                }
                if let Some(period) = outcome.again {
                    self.queue.add_at(key, Instant::now() + period);
                }
            }
        }
    }

    async fn look_at(&self, store: &Store, key: &Arc<str>) -> Outcome {
        let Some(object) = store.get(key) else {
            return Outcome::default();
        };
        let value = object.value();
        let selector = LabelSelector::of(&value["spec"]["selector"]);
        let Some(selector) = selector.filter(|_| !object.is_terminating) else {
            return Outcome::default();
        };
        let claims = self
            .owned
            .candidates(&object)
            .filter_map(|key| store.get(key))
            .map(|candidate| claim(store, &object, &selector, candidate));
        let claimed = join_all(claims).await.into_iter().flatten();
        let workload = Workload {
            dependents: claimed
                .map(|object| Dependent {
                    value: object.value(),
                    object,
                })
                .collect(),
            component: self.kind.component,
            object,
            value,
        };
        (self.kind.sync)(store, &workload).await
    }
}

/// Whether `candidate` is the workload's: adopts it if it is free and selected, and lets go of it if
/// it is not selected any more (`BaseControllerRefManager.ClaimObject`).
async fn claim(
    store: &Store,
    workload: &StoredObject,
    selector: &LabelSelector,
    candidate: Arc<StoredObject>,
) -> Option<Arc<StoredObject>> {
    let selected = selector.matches(|key| candidate.label(key));
    let own = candidate
        .controller()
        .map(|owner| owner.uid == workload.uid);
    match (own, selected) {
        (Some(true), true) => Some(candidate),
        (Some(true), false) => {
            let uid = workload.uid.clone();
            let released = write::update(store, &candidate, move |value| {
                if let Some(owners) = value
                    .pointer_mut("/metadata/ownerReferences")
                    .and_then(Value::as_array_mut)
                {
                    owners.retain(|owner| object::text(owner, "/uid") != &*uid);
                }
            });
            note("release an object", released.await);
            None
        }
        (None, true) if !candidate.is_terminating => {
            let (reference, uid) = (owner_reference(workload), workload.uid.clone());
            let adopted = write::update(store, &candidate, move |value| {
                let owners = object::metadata(value)
                    .entry("ownerReferences")
                    .or_insert_with(|| json!([]));
                let taken = |owner: &Value| owner.get("controller") == Some(&Value::Bool(true));
                if let Some(owners) = owners.as_array_mut().filter(|all| !all.iter().any(taken)) {
                    owners.push(reference);
                }
            });
            let adopted = note("adopt an object", adopted.await);
            adopted.filter(|now| now.controller().is_some_and(|owner| owner.uid == uid))
        }
        _ => None,
    }
}

/// What makes an object the workload's.
pub fn owner_reference(workload: &StoredObject) -> Value {
    json!({
        "apiVersion": workload.resource.api_version(),
        "kind": workload.resource.kind,
        "name": workload.name(),
        "uid": &workload.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

impl Workload {
    pub fn number(&self, pointer: &str) -> i64 {
        number(&self.value, pointer)
    }

    /// Writes the workload's status if it has changed.
    pub async fn set_status(&self, store: &Store, status: Value) {
        let written = write::update(store, &self.object, move |value| value["status"] = status);
        note("write the status of a workload", written.await);
    }

    /// Writes an event about the workload.
    pub async fn tell(
        &self,
        store: &Store,
        kind: &'static str,
        reason: &'static str,
        message: String,
    ) {
        let record = Record {
            kind,
            reason,
            message,
            component: self.component,
        };
        event_record::record(store, &self.object, record).await;
    }
}

/// The whole number at `pointer`, or 0, as Go's zero value.
pub fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}
