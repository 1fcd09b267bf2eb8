//! The templates a daemon set had, as ControllerRevisions: what `kubectl rollout history` lists and
//! `undo` goes back to.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::server::controllers::workload::{Workload, number, owner_reference};
use crate::server::controllers::{note, template, write};
use crate::server::kinds::controller_revision::CONTROLLER_REVISIONS;
use crate::server::object;
use crate::server::store::{Store, StoredObject};

use super::HASH;

/// Sees to it that the present template has the highest revision; returns the hash it is known by,
/// or `None` if it could not be written.
pub async fn keep(store: &Store, set: &Workload) -> Option<String> {
    let data = data(&set.value);
    let (all, _) = store.list(&CONTROLLER_REVISIONS.prefix(Some(set.object.namespace())));
    let mut revisions: Vec<(Arc<StoredObject>, Value)> = all
        .into_iter()
        .filter(|revision| {
            let owner = revision.controller();
            owner.is_some_and(|owner| owner.uid == set.object.uid)
        })
        .map(|revision| (revision.clone(), revision.value()))
        .collect();
    revisions.sort_by_key(|(_, value)| number(value, "/revision"));
    let highest = revisions
        .last()
        .map_or(0, |(_, value)| number(value, "/revision"));
    let found = revisions
        .iter()
        .position(|(_, value)| value["data"] == data);
    let hash = match found {
        Some(place) => {
            let (revision, value) = &revisions[place];
            if number(value, "/revision") < highest {
                let raised = write::update(store, revision, move |value| {
                    value["revision"] = (highest + 1).into();
                });
                note("renew a revision of a daemon set", raised.await);
            }
            revision.label(HASH)?.to_owned()
        }
        None => create(store, set, data, highest + 1).await?,
    };
    forget_old(store, set, &revisions, &hash).await;
    Some(hash)
}

/// What a revision keeps: a patch that brings the template back.
fn data(set: &Value) -> Value {
    let mut template = set["spec"]["template"].clone();
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

async fn create(store: &Store, set: &Workload, data: Value, revision: i64) -> Option<String> {
    let hash = template::hash(&data, set.number("/status/collisionCount"));
    let mut value = json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "namespace": set.object.namespace(),
            "name": format!("{}-{hash}", set.object.name()),
            "labels": set.value["spec"]["template"]["metadata"]["labels"],
            "ownerReferences": [owner_reference(&set.object)],
        },
        "data": data,
        "revision": revision,
    });
    object::map(&mut value["metadata"], "labels").insert(HASH.into(), hash.as_str().into());
    // `kubectl rollout history` shows the reason that was given for the change.
    object::copy(
        &mut value["metadata"],
        &set.value["metadata"],
        "annotations",
    );
    let created = write::create_owned(store, &CONTROLLER_REVISIONS, value, &set.object).await;
    note("keep a revision of a daemon set", created).map(|_| hash)
}

/// Deletes revisions beyond `revisionHistoryLimit` that no pod is of any more.
async fn forget_old(
    store: &Store,
    set: &Workload,
    revisions: &[(Arc<StoredObject>, Value)],
    hash: &str,
) {
    let in_use = |revision: &StoredObject| {
        let own = revision.label(HASH);
        own == Some(hash)
            || set
                .dependents
                .iter()
                .any(|pod| pod.object.label(HASH) == own)
    };
    let limit = usize::try_from(set.number("/spec/revisionHistoryLimit")).unwrap_or(0);
    let old: Vec<_> = revisions
        .iter()
        .filter(|(revision, _)| !in_use(revision))
        .collect();
    let surplus = old.len().saturating_sub(limit);
    for (revision, _) in old.into_iter().take(surplus) {
        let deleted = write::delete(store, revision).await;
        note("delete an old revision of a daemon set", deleted);
    }
}
