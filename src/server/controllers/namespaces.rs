//! The end of namespaces: everything in them is deleted, then they are. Those that every cluster
//! has are made anew: `kube-node-lease` may be deleted, as in Kubernetes, and nodes need it.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;

use super::informer::{Informer, Seen, any};
use super::note;
use crate::server::bootstrap::create_namespaces;
use crate::server::kinds::namespace::{BUILT_IN, NAMESPACES};
use crate::server::object;
use crate::server::resource::{ALL, Resource};
use crate::server::rest::{DeleteOptions, delete_in, finish_update};
use crate::server::status::ApiError;
use crate::server::store::{Change, EventKind, Store, StoredObject, View};

pub async fn run(store: Store) {
    let mut informers = Informer::all(&store);
    let mut terminating = BTreeSet::new();
    loop {
        let (resource, seen) = any(&mut informers).await;
        let touched: BTreeSet<String> = match &seen {
            Seen::All(objects) => {
                for object in objects {
                    see(&mut terminating, object, false);
                }
                terminating.clone()
            }
            Seen::Changes(events) => events
                .iter()
                .filter_map(|event| {
                    let deleted = event.kind == EventKind::Deleted;
                    see(&mut terminating, &event.object, deleted);
                    let name = if std::ptr::eq(resource, &NAMESPACES) {
                        event.object.name()
                    } else {
                        event.object.namespace()
                    };
                    terminating.contains(name).then(|| name.to_owned())
                })
                .collect(),
        };
        if lost_a_built_in(resource, &seen) {
            note(
                "make the built-in namespaces",
                create_namespaces(&store).await,
            );
        }
        for namespace in touched {
            empty(&store, &namespace).await;
            finalize(&store, namespace).await;
        }
    }
}

/// Whether a namespace that every cluster has is gone.
fn lost_a_built_in(resource: &Resource, seen: &Seen) -> bool {
    std::ptr::eq(resource, &NAMESPACES)
        && match seen {
            Seen::All(objects) => BUILT_IN
                .iter()
                .any(|name| !objects.iter().any(|object| object.name() == *name)),
            Seen::Changes(events) => events.iter().any(|event| {
                event.kind == EventKind::Deleted && BUILT_IN.contains(&event.object.name())
            }),
        }
}

/// Keeps the set of terminating namespaces; objects of other kinds do not matter to it.
fn see(terminating: &mut BTreeSet<String>, object: &StoredObject, deleted: bool) {
    if !std::ptr::eq(object.resource, &NAMESPACES) {
        return;
    }
    if !deleted && object.field("status.phase") == "Terminating" {
        terminating.insert(object.name().to_owned());
    } else {
        terminating.remove(object.name());
    }
}

/// Deletes what is in a namespace. What takes its time is waited for by its end's event.
async fn empty(store: &Store, namespace: &str) {
    let objects = ALL
        .iter()
        .filter(|resource| resource.namespaced)
        .flat_map(|resource| store.list(&resource.prefix(Some(namespace))).0)
        // It is on its way: asking again would change nothing.
        .filter(|object| !object::is_terminating(&object.value()));
    for result in join_all(objects.map(|object| delete(store, object))).await {
        note("empty a namespace", result);
    }
}

async fn delete(store: &Store, object: Arc<StoredObject>) -> Result<Arc<StoredObject>, ApiError> {
    store
        .write(move |view| {
            let current = view
                .get(&object.key)
                .ok_or_else(|| ApiError::not_found(object.resource, object.name()))?;
            delete_in(view, &current, &DeleteOptions::default())
        })
        .await
}

/// Takes the namespace's own finalizer away if nothing is left in it.
async fn finalize(store: &Store, name: String) {
    let finalized = store
        .write(move |view| {
            let namespace = view
                .get(&NAMESPACES.key("", &name))
                .ok_or_else(|| ApiError::not_found(&NAMESPACES, &name))?;
            if !is_empty(view, &name) {
                return Ok(Change::Keep(namespace));
            }
            let before = namespace.value();
            let mut after = before.clone();
            object::map(&mut after, "spec").shift_remove("finalizers");
            finish_update(&NAMESPACES, &before, after)
        })
        .await;
    note("finalize a namespace", finalized);
}

fn is_empty(view: &View<'_>, namespace: &str) -> bool {
    ALL.iter()
        .filter(|resource| resource.namespaced)
        .all(|resource| !view.any(&resource.prefix(Some(namespace))))
}
