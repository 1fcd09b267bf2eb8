//! The end of namespaces: everything in them is deleted, then they are. Those that every cluster
//! has are made anew: `kube-node-lease` may be deleted, as in Kubernetes, and nodes need it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

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
        .filter(|object| !object.is_terminating);
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

/// Writes down what is left in a namespace, and takes its own finalizer away if that is nothing.
async fn finalize(store: &Store, name: String) {
    let finalized = store
        .write(move |view| {
            let namespace = view
                .get(&NAMESPACES.key("", &name))
                .ok_or_else(|| ApiError::not_found(&NAMESPACES, &name))?;
            let left = Remaining::of(view, &name);
            let before = namespace.value();
            let mut after = before.clone();
            let now = object::timestamp(Timestamp::now());
            for condition in left.conditions() {
                object::set_condition(&mut after, condition, &now);
            }
            if left.resources.is_empty()
                && let Some(Value::Array(own)) = after.pointer_mut("/spec/finalizers")
            {
                own.retain(|finalizer| finalizer != "kubernetes");
            }
            match after == before {
                true => Ok(Change::Keep(namespace)),
                false => finish_update(&NAMESPACES, &before, after),
            }
        })
        .await;
    note("finalize a namespace", finalized);
}

/// What is still in a namespace: how many of which resource, and how many wait for which finalizer.
#[derive(Default)]
struct Remaining {
    resources: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
}

impl Remaining {
    fn of(view: &View<'_>, namespace: &str) -> Remaining {
        let mut left = Remaining::default();
        for resource in ALL.iter().filter(|resource| resource.namespaced) {
            let objects = view.list(&resource.prefix(Some(namespace)));
            if !objects.is_empty() {
                let name = format!("{}.{}", resource.plural, resource.group);
                left.resources.insert(name, objects.len());
            }
            // Few have any, and reading an object costs.
            let held = |object: &Arc<StoredObject>| object.json.mentions("\"finalizers\"");
            for object in objects.into_iter().filter(held) {
                for finalizer in object::list(&object.value(), "/metadata/finalizers") {
                    let name = finalizer.as_str().unwrap_or_default().to_owned();
                    *left.finalizers.entry(name).or_default() += 1;
                }
            }
        }
        left
    }

    /// In the words of kube-controller-manager (`pkg/controller/namespace/deletion`). What can fail
    /// there cannot here: all resources are known, and a deletion is one write.
    fn conditions(&self) -> [Value; 5] {
        let shown = |counts: &BTreeMap<String, usize>, word: &str| {
            let each = counts
                .iter()
                .map(|(name, count)| format!("{name} {word} {count} resource instances"));
            each.collect::<Vec<_>>().join(", ")
        };
        let (resources, finalizers) =
            (shown(&self.resources, "has"), shown(&self.finalizers, "in"));
        let content = match resources.as_str() {
            "" => (
                "ContentRemoved",
                "All content successfully removed".to_owned(),
            ),
            some => (
                "SomeResourcesRemain",
                format!("Some resources are remaining: {some}"),
            ),
        };
        let held = match finalizers.as_str() {
            "" => (
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished".to_owned(),
            ),
            some => (
                "SomeFinalizersRemain",
                format!("Some content in the namespace has finalizers remaining: {some}"),
            ),
        };
        let well = |reason, message: &str| (reason, message.to_owned());
        let found = well(
            "ResourcesDiscovered",
            "All resources successfully discovered",
        );
        let parsed = well(
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        );
        let deleted = well(
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        );
        [
            ("DeletionDiscoveryFailure", false, found),
            ("DeletionGroupVersionParsingFailure", false, parsed),
            ("DeletionContentFailure", false, deleted),
            ("ContentRemaining", !resources.is_empty(), content),
            ("FinalizersRemaining", !finalizers.is_empty(), held),
        ]
        .map(|(kind, holds, (reason, message))| {
            json!({
                "type": format!("Namespace{kind}"), "status": if holds { "True" } else { "False" },
                "lastTransitionTime": null, "reason": reason, "message": message,
            })
        })
    }
}
