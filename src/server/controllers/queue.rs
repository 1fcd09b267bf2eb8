//! What a controller has to look at: each key once, however often it was named, now or later.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

#[derive(Default)]
pub struct Queue {
    due: BTreeSet<Arc<str>>,
    /// When to look without being asked.
    later: HashMap<Arc<str>, Instant>,
}

impl Queue {
    pub fn add(&mut self, key: Arc<str>) {
        self.due.insert(key);
    }

    /// Looks at `key` at `moment` at the latest; forgets an earlier such wish.
    pub fn add_at(&mut self, key: Arc<str>, moment: Instant) {
        self.later.insert(key, moment);
    }

    /// When the next is due that is not due yet.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.later.values().min().copied()
    }

    /// Up to `limit` keys that are due.
    pub fn take(&mut self, now: Instant, limit: usize) -> Vec<Arc<str>> {
        let due = &mut self.due;
        self.later.retain(|key, moment| {
            let early = *moment > now;
            if !early {
                due.insert(key.clone());
            }
            early
        });
        let taken: Vec<Arc<str>> = self.due.iter().take(limit).cloned().collect();
        for key in &taken {
            self.due.remove(key);
        }
        taken
    }

    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_key_comes_once_and_a_later_one_at_its_time() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.add("a".into());
        queue.add("a".into());
        queue.add_at("b".into(), now + Duration::from_secs(1));
        queue.add_at("a".into(), now);
        assert_eq!(queue.take(now, 9), ["a".into()]);
        assert_eq!(queue.next_deadline(), Some(now + Duration::from_secs(1)));
        assert_eq!(queue.take(now + Duration::from_secs(1), 9), ["b".into()]);
        assert!(queue.is_empty() && queue.next_deadline().is_none());
    }
}
