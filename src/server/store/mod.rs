//! The store: every object, durable before it is acknowledged, and its recent history.
//!
//! ```text
//! handlers, controllers ── Job ──► writer thread ── one transaction ──► Backend (redb)
//!        ▲                            │ after the commit
//!        │ get, list, Feed            ▼
//!        └────────────────── objects (BTreeMap) + ring of events
//! ```
//!
//! Invariants:
//! - Only the writer thread changes anything, one job at a time, so that a read-modify-write never
//!   races another. A job sees the jobs before it in the same batch.
//! - Readers see committed state only. Nothing is acknowledged before it is on disk.
//! - Every write takes the next revision, without gaps, so an event's place in the ring follows from
//!   its revision. Revisions go on from where they were after a restart.
//! - Objects are kept as the JSON that is sent, in pieces that they share, plus what selectors look
//!   at. Values are parsed when a write or a table needs them.
//! - Watchers hold a cursor into the ring and no queue of their own. One that falls off the end is told
//!   so (410) and dropped.

mod backend;
mod feed;
mod json;
mod load;
mod object;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use backend::{Backend, Loaded, RedbBackend, StoreError};
pub use feed::Feed;
pub use object::{Event, EventKind, Owner, StoredObject, line};
pub use writer::View;

use super::authorize;
use super::resource::{self, Resource};
use super::status::ApiError;
use load::Loader;
use writer::Job;

/// Events kept for watchers that reconnect, as long as what only they keep is not larger than this.
const RING: usize = 10_000;
const RING_BYTES: usize = 4 << 20;
/// Jobs that may wait for the writer; beyond that, callers wait to enqueue.
const QUEUE: usize = 1_024;

/// What a job decided.
pub enum Change {
    /// Nothing to do; the answer is the object as it is.
    Keep(Arc<StoredObject>),
    Put {
        resource: &'static Resource,
        value: Value,
    },
    /// Remove the object; `value` is its last state.
    Delete {
        resource: &'static Resource,
        value: Value,
    },
    /// Dry run: answer with the object, change nothing.
    Preview {
        resource: &'static Resource,
        value: Value,
    },
}

#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

struct Shared {
    state: RwLock<State>,
    /// One per resource, in the table's order: the revision of its latest event.
    changed: Vec<watch::Sender<u64>>,
}

/// By key.
type Objects = BTreeMap<Arc<str>, Arc<StoredObject>>;

struct State {
    objects: Objects,
    revision: u64,
    ring: VecDeque<Arc<Event>>,
    /// The JSON of objects that are kept for the ring alone, without what they share.
    ring_bytes: usize,
    /// Per resource: the newest revision whose event is no longer in the ring.
    forgotten: Vec<u64>,
}

/// The writer thread; it ends when the last [`Store`] is gone or the backend fails.
pub struct Writer {
    thread: JoinHandle<Result<(), StoreError>>,
    ended: CancellationToken,
}

impl Writer {
    /// Waits until the writer has ended, without holding a thread. May be asked again.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// What the writer ended with. Blocks until it has ended.
    pub fn join(self) -> Result<(), StoreError> {
        self.thread
            .join()
            .unwrap_or(Err(StoreError::WriterPanicked))
    }
}

impl Store {
    /// Loads everything from `backend` and starts the writer.
    pub fn open(mut backend: impl Backend + 'static) -> Result<(Store, Writer), StoreError> {
        let loaded = backend.load()?;
        let objects = Loader::new().load_all(loaded.entries)?;
        let shared = Arc::new(Shared {
            state: RwLock::new(State {
                objects,
                revision: loaded.revision,
                ring: VecDeque::new(),
                ring_bytes: 0,
                forgotten: vec![loaded.revision; resource::ALL.len()],
            }),
            changed: resource::ALL
                .iter()
                .map(|_| watch::Sender::new(loaded.revision))
                .collect(),
        });
        let (jobs, queue) = mpsc::channel(QUEUE);
        let ended = CancellationToken::new();
        let alive = ended.clone().drop_guard();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn({
                let shared = shared.clone();
                move || {
                    let _alive: DropGuard = alive;
                    writer::run(&shared, backend, queue)
                }
            })
            .map_err(|source| StoreError::Thread { source })?;
        Ok((Store { shared, jobs }, Writer { thread, ended }))
    }

    pub fn get(&self, key: &str) -> Option<Arc<StoredObject>> {
        self.shared.read().objects.get(key).cloned()
    }

    /// How many objects of a resource there are.
    pub fn count(&self, resource: &Resource) -> usize {
        under(&self.shared.read().objects, &resource.prefix(None)).count()
    }

    /// Whether what is written can still reach the disk.
    pub fn is_running(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// All objects under a prefix in key order, and the revision at which that was so.
    pub fn list(&self, prefix: &str) -> (Vec<Arc<StoredObject>>, u64) {
        let state = self.shared.read();
        let objects = under(&state.objects, prefix);
        (
            objects.map(|(_, object)| object.clone()).collect(),
            state.revision,
        )
    }

    /// As [`Store::list`], as it was at an earlier revision.
    ///
    /// # Errors
    /// `Expired` if the history does not reach back so far, `VersionTooLarge` if there has been no
    /// such revision yet.
    pub fn list_at(
        &self,
        resource: &Resource,
        prefix: &str,
        revision: u64,
    ) -> Result<Vec<Arc<StoredObject>>, ApiError> {
        let state = self.shared.read();
        if revision > state.revision {
            return Err(ApiError::VersionTooLarge {
                asked: revision,
                current: state.revision,
            });
        }
        let oldest = state.forgotten[resource.ordinal()];
        if revision < oldest {
            return Err(ApiError::Expired {
                asked: revision,
                oldest,
            });
        }
        let mut objects: BTreeMap<&Arc<str>, &Arc<StoredObject>> =
            under(&state.objects, prefix).collect();
        let since = feed::events_after(&state, revision);
        // The first change since then tells what was there.
        let mut undone = BTreeSet::new();
        for event in since.filter(|event| event.object.key.starts_with(prefix)) {
            let key = &event.object.key;
            if undone.insert(key) {
                match &event.previous {
                    Some(previous) => objects.insert(key, previous),
                    None => objects.remove(key),
                };
            }
        }
        Ok(objects.into_values().cloned().collect())
    }

    /// Runs `decide` on the writer thread and carries out what it returns. Resolves once that is
    /// durable. Once enqueued it happens, even if the caller no longer waits.
    pub async fn write(
        &self,
        decide: impl FnOnce(&View<'_>) -> Result<Change, ApiError> + Send + 'static,
    ) -> Result<Arc<StoredObject>, ApiError> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            decide: Box::new(decide),
            answer,
        };
        let stopped = || ApiError::Internal("the store has stopped".into());
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Events after revision `from` for the keys under `prefix`.
    pub fn follow(&self, resource: &'static Resource, prefix: String, from: u64) -> Feed {
        Feed::new(self.shared.clone(), resource, prefix, from)
    }
}

impl authorize::Objects for Store {
    fn get(&self, key: &str) -> Option<Arc<StoredObject>> {
        self.get(key)
    }

    fn under(&self, prefix: &str) -> Vec<Arc<StoredObject>> {
        self.list(prefix).0
    }
}

impl Shared {
    // A poisoned lock means a panic while nothing was half-changed: readers do not change, and the
    // writer's publication cannot panic between its steps.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn publish(&mut self, event: Arc<Event>) {
        let object = &event.object;
        match event.kind {
            EventKind::Deleted => {
                self.objects.remove(&object.key);
            }
            EventKind::Added | EventKind::Modified => {
                self.objects.insert(object.key.clone(), object.clone());
            }
        }
        self.revision = object.revision;
        self.ring_bytes += event.outdated_bytes();
        self.ring.push_back(event);
        while self.ring.len() > RING || self.ring_bytes > RING_BYTES {
            let Some(old) = self.ring.pop_front() else {
                break;
            };
            self.ring_bytes -= old.outdated_bytes();
            self.forgotten[old.object.resource.ordinal()] = old.object.revision;
        }
    }
}

/// The entries whose key starts with `prefix`, in key order.
fn under<'a, V>(
    map: &'a BTreeMap<Arc<str>, V>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a Arc<str>, &'a V)> {
    map.range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(prefix))
}
