//! The one thread that changes the store.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hyper::body::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::backend::{Backend, StoreError};
use super::object::{Event, EventKind, StoredObject};
use super::{Change, Shared, State, under};
use crate::server::authorize::Objects;
use crate::server::object;
use crate::server::status::ApiError;

/// Jobs decided and committed together. One fsync then serves them all, and none waits long.
const BATCH: usize = 256;

type Decide = Box<dyn FnOnce(&View<'_>) -> Result<Change, ApiError> + Send>;
type Answer = Result<Arc<StoredObject>, ApiError>;

pub(super) struct Job {
    pub decide: Decide,
    pub answer: oneshot::Sender<Answer>,
}

/// What a job sees: the committed state and the jobs before it in its batch.
pub struct View<'a> {
    state: &'a State,
    overlay: &'a BTreeMap<Arc<str>, Option<Arc<StoredObject>>>,
}

impl View<'_> {
    pub fn get(&self, key: &str) -> Option<Arc<StoredObject>> {
        match self.overlay.get(key) {
            Some(pending) => pending.clone(),
            None => self.state.objects.get(key).cloned(),
        }
    }

    /// All objects under a prefix, in no particular order.
    pub fn list(&self, prefix: &str) -> Vec<Arc<StoredObject>> {
        let pending = under(self.overlay, prefix).filter_map(|(_, object)| object.clone());
        let committed = under(&self.state.objects, prefix)
            .filter(|(key, _)| !self.overlay.contains_key(*key))
            .map(|(_, object)| object.clone());
        pending.chain(committed).collect()
    }
}

impl Objects for View<'_> {
    fn get(&self, key: &str) -> Option<Arc<StoredObject>> {
        self.get(key)
    }

    fn under(&self, prefix: &str) -> Vec<Arc<StoredObject>> {
        self.list(prefix)
    }
}

/// Runs until every [`super::Store`] is dropped.
///
/// # Errors
/// The backend's, the first time it fails: what is on disk is then in doubt, and only a fresh load can
/// tell. The callers of that batch are told that their writes failed.
pub(super) fn run(
    shared: &Shared,
    mut backend: impl Backend,
    mut queue: mpsc::Receiver<Job>,
) -> Result<(), StoreError> {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = Batch::new(shared.read().revision);
        let mut next = Some(first);
        while let Some(job) = next {
            batch.decide(&shared.read(), job);
            next = match batch.answers.len() {
                BATCH.. => None,
                _ => queue.try_recv().ok(),
            };
        }
        batch.commit(shared, &mut backend)?;
    }
    Ok(())
}

struct Batch {
    revision: u64,
    overlay: BTreeMap<Arc<str>, Option<Arc<StoredObject>>>,
    events: Vec<Arc<Event>>,
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
}

impl Batch {
    fn new(revision: u64) -> Batch {
        Batch {
            revision,
            overlay: BTreeMap::new(),
            events: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn decide(&mut self, state: &State, job: Job) {
        let view = View {
            state,
            overlay: &self.overlay,
        };
        // A defect in one kind's code costs that request, not the store. The view is read-only.
        let decided = catch_unwind(AssertUnwindSafe(|| (job.decide)(&view)));
        let answer = match decided {
            Ok(Ok(change)) => Ok(self.record(state, change)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ApiError::Internal(
                "the request made the server panic".into(),
            )),
        };
        self.answers.push((job.answer, answer));
    }

    fn record(&mut self, state: &State, change: Change) -> Arc<StoredObject> {
        let (resource, value, deleted) = match change {
            Change::Keep(object) => return object,
            Change::Preview { resource, value } => {
                return Arc::new(StoredObject::new(resource, &value, self.revision));
            }
            Change::Put { resource, value } => (resource, value, false),
            Change::Delete { resource, value } => (resource, value, true),
        };
        self.revision += 1;
        let key = resource.key(object::namespace(&value), object::name(&value));
        let previous = match self.overlay.get(key.as_str()) {
            Some(pending) => pending.clone(),
            None => state.objects.get(key.as_str()).cloned(),
        };
        let kind = match (deleted, &previous) {
            (true, _) => EventKind::Deleted,
            (false, None) => EventKind::Added,
            (false, Some(_)) => EventKind::Modified,
        };
        let event = Event::new(kind, resource, value, self.revision, previous);
        let object = event.object.clone();
        self.overlay
            .insert(object.key.clone(), (!deleted).then(|| object.clone()));
        self.events.push(Arc::new(event));
        object
    }

    fn commit(self, shared: &Shared, backend: &mut impl Backend) -> Result<(), StoreError> {
        if !self.events.is_empty() {
            let changes: Vec<(&str, Option<Bytes>)> = self
                .overlay
                .iter()
                .map(|(key, object)| (&**key, object.as_ref().map(|object| object.json.to_bytes())))
                .collect();
            if let Err(error) = backend.commit(self.revision, &changes) {
                for (answer, _) in self.answers {
                    // A caller that no longer waits needs no answer, here and below.
                    let _ = answer.send(Err(ApiError::Internal(error.to_string())));
                }
                return Err(error);
            }
            publish(shared, self.events);
        }
        for (answer, result) in self.answers {
            let _ = answer.send(result);
        }
        Ok(())
    }
}

fn publish(shared: &Shared, events: Vec<Arc<Event>>) {
    let mut latest = vec![None; shared.changed.len()];
    let mut state = shared.write();
    for event in events {
        latest[event.object.resource.ordinal()] = Some(event.object.revision);
        state.publish(event);
    }
    drop(state);
    for (changed, revision) in shared.changed.iter().zip(latest) {
        if let Some(revision) = revision {
            changed.send_replace(revision);
        }
    }
}
