//! Deletions that are about more than one object: what is owned goes first, or is let go.
//!
//! Such a deletion leaves a finalizer on the owner, and this controller takes it off when its work is
//! done: with `foregroundDeletion` once everything that blocks the owner's deletion is gone, with
//! `orphan` once nothing names it as its owner any more. Without either the owner goes at once, and
//! [`garbage`](super::garbage) takes what it owned.
//!
//! What an owner owns is asked of the store, not remembered: a dependent made just before the owner's
//! deletion must not be missed.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use serde_json::Value;

use super::informer::{Informer, Seen, any};
use super::note;
use crate::server::object;
use crate::server::rest::{DeleteOptions, Propagation, delete_in, finish_update};
use crate::server::status::ApiError;
use crate::server::store::{Change, Store, StoredObject};

pub async fn run(store: Store) {
    let mut informers = Informer::all(&store);
    loop {
        let suspects: BTreeSet<Arc<str>> = match any(&mut informers).await.1 {
            Seen::All(objects) => objects.iter().map(|object| object.key.clone()).collect(),
            Seen::Changes(events) => events
                .iter()
                .flat_map(|event| {
                    let owners = event.object.owners.iter();
                    let owners = owners.filter_map(|owner| owner.key.as_deref());
                    owners.map(Arc::from).chain([event.object.key.clone()])
                })
                .collect(),
        };
        for owner in suspects.iter().filter_map(|key| store.get(key)) {
            match waiting(&owner) {
                Some(Propagation::Foreground) => delete_dependents(&store, &owner).await,
                Some(Propagation::Orphan) => release_dependents(&store, &owner).await,
                Some(Propagation::Background) | None => {}
            }
        }
    }
}

/// What a terminating object waits for.
fn waiting(object: &StoredObject) -> Option<Propagation> {
    if !object.is_terminating {
        return None;
    }
    let value = object.value();
    let finalizers = object::list(&value, "/metadata/finalizers");
    [Propagation::Orphan, Propagation::Foreground]
        .into_iter()
        .find(|one| {
            finalizers
                .iter()
                .any(|name| name.as_str() == one.finalizer())
        })
}

fn dependents(store: &Store, owner: &StoredObject) -> Vec<Arc<StoredObject>> {
    let (mut objects, _) = store.list("");
    objects.retain(|object| object.owners.iter().any(|one| one.uid == owner.uid));
    objects
}

async fn delete_dependents(store: &Store, owner: &StoredObject) {
    let deletions = dependents(store, owner)
        .into_iter()
        .filter(|object| !object.is_terminating)
        .map(|object| delete(store, object));
    for result in join_all(deletions).await {
        note("delete what a deleted object owned", result);
    }
    let left = dependents(store, owner);
    if !left.iter().any(|object| blocks(object, owner)) {
        note(
            "finish a foreground deletion",
            release(store, owner, Propagation::Foreground).await,
        );
    }
}

async fn delete(store: &Store, object: Arc<StoredObject>) -> Result<Arc<StoredObject>, ApiError> {
    let policy = match dependents(store, &object).is_empty() {
        true => Propagation::Background,
        false => Propagation::Foreground,
    };
    store
        .write(move |view| match view.get(&object.key) {
            Some(now) if now.uid == object.uid => {
                delete_in(view, &now, &DeleteOptions::with(policy))
            }
            _ => Err(ApiError::not_found(object.resource, object.name())),
        })
        .await
}

/// Whether the dependent asked for its owner to wait.
fn blocks(dependent: &StoredObject, owner: &StoredObject) -> bool {
    object::list(&dependent.value(), "/metadata/ownerReferences")
        .iter()
        .filter(|reference| object::text(reference, "/uid") == &*owner.uid)
        .any(|reference| reference["blockOwnerDeletion"] == true)
}

async fn release_dependents(store: &Store, owner: &StoredObject) {
    let released = dependents(store, owner)
        .into_iter()
        .map(|object| disown(store, object, owner.uid.clone()));
    for result in join_all(released).await {
        note("release what a deleted object owned", result);
    }
    if dependents(store, owner).is_empty() {
        note(
            "finish a deletion that orphans",
            release(store, owner, Propagation::Orphan).await,
        );
    }
}

/// Takes an owner from an object.
async fn disown(
    store: &Store,
    object: Arc<StoredObject>,
    owner: Box<str>,
) -> Result<Arc<StoredObject>, ApiError> {
    change(store, object, move |value| {
        let references = value.pointer_mut("/metadata/ownerReferences");
        if let Some(Value::Array(references)) = references {
            references.retain(|one| object::text(one, "/uid") != &*owner);
        }
    })
    .await
}

/// Takes the finalizer off, and so lets the object go.
async fn release(
    store: &Store,
    owner: &StoredObject,
    policy: Propagation,
) -> Result<Arc<StoredObject>, ApiError> {
    let Some(owner) = store.get(&owner.key).filter(|now| now.uid == owner.uid) else {
        return Err(ApiError::not_found(owner.resource, owner.name()));
    };
    change(store, owner, move |value| {
        if let Some(Value::Array(names)) = value.pointer_mut("/metadata/finalizers") {
            names.retain(|name| name.as_str() != policy.finalizer());
        }
    })
    .await
}

async fn change(
    store: &Store,
    object: Arc<StoredObject>,
    edit: impl FnOnce(&mut Value) + Send + 'static,
) -> Result<Arc<StoredObject>, ApiError> {
    store
        .write(move |view| match view.get(&object.key) {
            Some(now) if now.uid == object.uid => {
                let old = now.value();
                let mut new = old.clone();
                edit(&mut new);
                match new == old {
                    true => Ok(Change::Keep(now)),
                    false => finish_update(now.resource, &old, new),
                }
            }
            _ => Err(ApiError::not_found(object.resource, object.name())),
        })
        .await
}
