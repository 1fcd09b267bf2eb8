//! Following the store: a cursor into the ring of events.
//!
//! A feed has no queue. It sleeps until its resource changes, then reads what the ring holds
//! beyond its cursor. A reader that is too slow finds its place gone and gets `Expired`; it never
//! costs more than its cursor.

use std::sync::Arc;

use tokio::sync::watch;

use super::object::Event;
use super::{Shared, State};
use crate::server::resource::Resource;
use crate::server::status::ApiError;

/// Events taken from the ring at a time: bounds how long the state is read-locked, and what a
/// follower holds that does not get on.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 1 << 20;

pub struct Feed {
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    resource: &'static Resource,
    prefix: String,
    cursor: u64,
}

impl Feed {
    pub(super) fn new(
        shared: Arc<Shared>,
        resource: &'static Resource,
        prefix: String,
        from: u64,
    ) -> Feed {
        let changed = shared.changed[resource.ordinal()].subscribe();
        Feed {
            shared,
            changed,
            resource,
            prefix,
            cursor: from,
        }
    }

    /// Whether the events after the cursor are all still there.
    ///
    /// # Errors
    /// `Expired` if some are gone, or if the cursor is from a future this store never had.
    #[cfg(test)]
    pub fn check(&self) -> Result<(), ApiError> {
        self.check_in(&self.shared.read())
    }

    fn check_in(&self, state: &State) -> Result<(), ApiError> {
        let forgotten = state.forgotten[self.resource.ordinal()];
        if self.cursor < forgotten || self.cursor > state.revision {
            return Err(ApiError::Expired {
                asked: self.cursor,
                oldest: forgotten,
            });
        }
        Ok(())
    }

    /// The next events, at least one. Cancel safe.
    ///
    /// # Errors
    /// `Expired` when this feed was too slow.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, ApiError> {
        loop {
            // Seen before looking: a change during the look wakes the next wait.
            self.changed.borrow_and_update();
            let events = self.take()?;
            if !events.is_empty() {
                return Ok(events);
            }
            if self.changed.changed().await.is_err() {
                return Err(ApiError::Internal("the store has stopped".into()));
            }
        }
    }

    /// A revision up to which this feed has delivered everything: what a bookmark says.
    ///
    /// `None` while events are waiting.
    pub fn bookmark(&mut self) -> Option<u64> {
        let latest = *self.changed.borrow();
        if latest > self.cursor {
            return None;
        }
        let state = self.shared.read();
        // Published under the lock before it is announced: look at what the ring itself holds.
        let waiting = events_after(&state, self.cursor)
            .any(|event| std::ptr::eq(event.object.resource, self.resource));
        if waiting || self.check_in(&state).is_err() {
            return None;
        }
        self.cursor = state.revision;
        Some(self.cursor)
    }

    fn take(&mut self) -> Result<Vec<Arc<Event>>, ApiError> {
        let state = self.shared.read();
        self.check_in(&state)?;
        let before = self.cursor;
        let mut events: Vec<Arc<Event>> = Vec::new();
        let mut bytes = 0;
        self.cursor = state.revision;
        for event in events_after(&state, before) {
            if event.object.key.starts_with(&self.prefix) {
                events.push(event.clone());
                bytes += event.object.json.len();
                if events.len() == BATCH || bytes >= BATCH_BYTES {
                    self.cursor = event.object.revision;
                    break;
                }
            }
        }
        Ok(events)
    }
}

pub(super) fn events_after(state: &State, cursor: u64) -> impl Iterator<Item = &Arc<Event>> {
    let first = state
        .ring
        .front()
        .map_or(u64::MAX, |event| event.object.revision);
    let skip = (cursor + 1).saturating_sub(first);
    state
        .ring
        .range(usize::try_from(skip).map_or(state.ring.len(), |skip| skip.min(state.ring.len()))..)
}
