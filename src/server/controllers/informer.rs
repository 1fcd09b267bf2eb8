//! A resource as a controller sees it: all of it, then what changes.

use std::sync::Arc;

use futures::future::select_all;

use crate::server::resource::{ALL, Resource};
use crate::server::store::{Event, Feed, Store, StoredObject};

pub enum Seen {
    /// Everything there is; what was known before is void.
    All(Vec<Arc<StoredObject>>),
    Changes(Vec<Arc<Event>>),
}

pub struct Informer {
    store: Store,
    resource: &'static Resource,
    /// `None` before the first look and after falling behind.
    feed: Option<Feed>,
}

impl Informer {
    pub fn new(store: &Store, resource: &'static Resource) -> Informer {
        Informer {
            store: store.clone(),
            resource,
            feed: None,
        }
    }

    pub fn resource(&self) -> &'static Resource {
        self.resource
    }

    /// One for every resource.
    pub fn all(store: &Store) -> Vec<Informer> {
        ALL.iter()
            .map(|resource| Informer::new(store, resource))
            .collect()
    }

    /// What there is to see next. Cancel safe.
    pub async fn next(&mut self) -> Seen {
        if let Some(feed) = &mut self.feed {
            match feed.next().await {
                Ok(events) => return Seen::Changes(events),
                Err(error) => tracing::info!(%error, resource = ?self.resource, "looking again"),
            }
        }
        let prefix = self.resource.prefix(None);
        let (objects, revision) = self.store.list(&prefix);
        self.feed = Some(self.store.follow(self.resource, prefix, revision));
        Seen::All(objects)
    }
}

/// The next that any of them sees, and which one it is. Cancel safe.
pub async fn any(informers: &mut [Informer]) -> (&'static Resource, Seen) {
    // The first that is ready wins: a busy one must not always be first.
    informers.rotate_left(1);
    let looks = informers.iter_mut().map(|informer| {
        Box::pin(async {
            let resource = informer.resource;
            (resource, informer.next().await)
        })
    });
    select_all(looks).await.0
}
