//! What controllers write, decided on the store's own view.

use std::sync::Arc;

use serde_json::Value;

use crate::server::object;
use crate::server::resource::Resource;
use crate::server::rest::{DeleteOptions, admit, delete_in, finish_update, prepare};
use crate::server::status::ApiError;
use crate::server::store::{Change, Store, StoredObject, View};

/// Makes an object what `wanted` says: its own top-level fields, labels and annotations; or makes
/// it anew.
pub async fn put(
    store: &Store,
    resource: &'static Resource,
    wanted: Value,
) -> Result<Arc<StoredObject>, ApiError> {
    store
        .write(move |view| {
            let key = resource.key(object::namespace(&wanted), object::name(&wanted));
            let Some(old) = view.get(&key) else {
                return admit(resource, prepare(resource, wanted)?, view);
            };
            let before = old.value();
            let mut after = before.clone();
            for (key, value) in wanted.as_object().into_iter().flatten() {
                if key != "metadata" {
                    after[key] = value.clone();
                }
            }
            for key in ["labels", "annotations"] {
                if wanted["metadata"].get(key).is_some() {
                    object::copy(&mut after["metadata"], &wanted["metadata"], key);
                }
            }
            changed(&old, before, after)
        })
        .await
}

/// Creates an object as long as its owner, of that key and uid, is there and is not going away.
pub async fn create_owned(
    store: &Store,
    resource: &'static Resource,
    value: Value,
    owner: &StoredObject,
) -> Result<Arc<StoredObject>, ApiError> {
    let value = prepare(resource, value)?;
    let (key, uid, kind) = (owner.key.clone(), owner.uid.clone(), owner.resource);
    store
        .write(move |view| {
            let owner = view.get(&key).filter(|now| now.uid == uid);
            match owner.filter(|now| !now.is_terminating) {
                Some(_) => admit(resource, value, view),
                None => Err(ApiError::not_found(kind, &key)),
            }
        })
        .await
}

/// Changes an object that still has the uid it had when it was looked at.
pub async fn update(
    store: &Store,
    object: &Arc<StoredObject>,
    change: impl FnOnce(&mut Value) + Send + 'static,
) -> Result<Arc<StoredObject>, ApiError> {
    let object = object.clone();
    store
        .write(move |view| {
            let old = same(view, &object)?;
            let before = old.value();
            let mut after = before.clone();
            change(&mut after);
            changed(&old, before, after)
        })
        .await
}

/// Deletes an object that still has the uid it had when it was looked at, with the grace period
/// that it asks for.
pub async fn delete(
    store: &Store,
    object: &Arc<StoredObject>,
) -> Result<Arc<StoredObject>, ApiError> {
    let object = object.clone();
    store
        .write(move |view| {
            let current = same(view, &object)?;
            delete_in(view, &current, &DeleteOptions::default())
        })
        .await
}

fn same(view: &View<'_>, object: &StoredObject) -> Result<Arc<StoredObject>, ApiError> {
    view.get(&object.key)
        .filter(|current| current.uid == object.uid)
        .ok_or_else(|| ApiError::not_found(object.resource, object.name()))
}

fn changed(old: &Arc<StoredObject>, before: Value, after: Value) -> Result<Change, ApiError> {
    if before == after {
        return Ok(Change::Keep(old.clone()));
    }
    finish_update(old.resource, &before, after)
}
