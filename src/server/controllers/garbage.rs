//! Garbage collection: what is owned goes when the last of its owners is gone.
//!
//! Among others this frees a node's range: the Lease that claims it is owned by the Node.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::future::join_all;

use super::informer::{Informer, Seen, any};
use super::note;
use crate::server::rest::{DeleteOptions, delete_in};
use crate::server::status::ApiError;
use crate::server::store::{Change, EventKind, Owner, Store, StoredObject};

pub async fn run(store: Store) {
    let mut informers = Informer::all(&store);
    let mut dependents = Dependents::default();
    loop {
        let suspects: BTreeSet<Arc<str>> = match any(&mut informers).await.1 {
            // Everything that is gone meanwhile is found by asking for each owner.
            Seen::All(objects) => objects
                .iter()
                .filter(|object| dependents.add(object))
                .map(|object| object.key.clone())
                .collect(),
            Seen::Changes(events) => events
                .iter()
                .flat_map(|event| match event.kind {
                    EventKind::Deleted => dependents.remove(&event.object),
                    _ if dependents.add(&event.object) => vec![event.object.key.clone()],
                    _ => Vec::new(),
                })
                .collect(),
        };
        let collected = suspects
            .into_iter()
            .filter_map(|key| store.get(&key))
            .filter(|object| is_orphan(object, |key| store.get(key)))
            .map(|object| collect(&store, object));
        for result in join_all(collected).await {
            note("collect an orphaned object", result);
        }
    }
}

/// Which objects name an owner, by the owner's uid.
#[derive(Default)]
struct Dependents {
    by_owner: HashMap<Box<str>, BTreeSet<Arc<str>>>,
}

impl Dependents {
    /// Notes an object's owners; whether it has any.
    fn add(&mut self, object: &StoredObject) -> bool {
        for owner in &object.owners {
            let dependents = self.by_owner.entry(owner.uid.clone()).or_default();
            dependents.insert(object.key.clone());
        }
        !object.owners.is_empty()
    }

    /// Forgets an object; returns what named it as its owner.
    fn remove(&mut self, object: &StoredObject) -> Vec<Arc<str>> {
        for owner in &object.owners {
            if let Some(dependents) = self.by_owner.get_mut(&owner.uid) {
                dependents.remove(&object.key);
                if dependents.is_empty() {
                    self.by_owner.remove(&owner.uid);
                }
            }
        }
        let dependents = self.by_owner.get(&object.uid);
        dependents.into_iter().flatten().cloned().collect()
    }
}

/// Whether an object has owners and none of them exists any more. An owner of a kind that is not
/// served counts as existing.
fn is_orphan(object: &StoredObject, get: impl Fn(&str) -> Option<Arc<StoredObject>>) -> bool {
    let exists = |owner: &Owner| match &owner.key {
        Some(key) => get(key).is_some_and(|found| found.uid == owner.uid),
        None => true,
    };
    !object.owners.is_empty() && !object.owners.iter().any(exists)
}

async fn collect(store: &Store, orphan: Arc<StoredObject>) -> Result<Arc<StoredObject>, ApiError> {
    store
        .write(move |view| match view.get(&orphan.key) {
            Some(object) if is_orphan(&object, |key| view.get(key)) => {
                delete_in(view, &object, &DeleteOptions::default())
            }
            Some(object) => Ok(Change::Keep(object)),
            None => Err(ApiError::not_found(orphan.resource, orphan.name())),
        })
        .await
}
