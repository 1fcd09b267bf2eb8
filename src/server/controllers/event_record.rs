//! Events that the controllers write, and the end of all events.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::note;
use crate::server::kinds::event::EVENTS;
use crate::server::object;
use crate::server::rest::{DeleteOptions, admit, delete_in, prepare};
use crate::server::status::ApiError;
use crate::server::store::{Change, Store, StoredObject, View};

/// Events are kept this long, as by kube-apiserver's `--event-ttl`.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
const SWEEP: Duration = Duration::from_secs(300);

pub struct Record {
    /// `Normal` or `Warning`.
    pub kind: &'static str,
    pub reason: &'static str,
    pub message: String,
    pub component: &'static str,
}

/// Writes an event about `about`. The same again counts up.
pub async fn record(store: &Store, about: &Arc<StoredObject>, record: Record) {
    let now = Timestamp::now();
    let Ok(event) = prepare(&EVENTS, event(about, &record, now)) else {
        return tracing::warn!(reason = record.reason, "an event of our own is invalid");
    };
    let about = about.clone();
    let written = store
        .write(move |view| {
            let namespace = object::namespace(&event);
            let others = view.list(&EVENTS.key(namespace, &format!("{}.", about.name())));
            let same = others.into_iter().find(|other| is_same(other, &event));
            match same {
                None => admit(&EVENTS, named(&about, event, now, view), view),
                Some(before) => Ok(Change::Put {
                    resource: &EVENTS,
                    value: again(before.value(), &event),
                }),
            }
        })
        .await;
    match written {
        // A namespace that is going away takes no more events.
        Ok(_) | Err(ApiError::NamespaceTerminating { .. }) => {}
        Err(error) => {
            note::<()>("record an event", Err(error));
        }
    }
}

/// Whether it says the same of the same object.
fn is_same(other: &StoredObject, event: &Value) -> bool {
    if other.field("involvedObject.uid") != object::text(event, "/involvedObject/uid")
        || other.field("reason") != object::text(event, "/reason")
    {
        return false;
    }
    let other = other.value();
    ["message", "source"]
        .iter()
        .all(|key| other.get(key) == event.get(key))
}

/// A name that sorts as things happened, as client-go's do.
fn named(about: &StoredObject, mut event: Value, now: Timestamp, view: &View<'_>) -> Value {
    let namespace = object::namespace(&event).to_owned();
    let name = (now.as_nanosecond()..)
        .map(|moment| format!("{}.{moment:016x}", about.name()))
        .find(|name| view.get(&EVENTS.key(&namespace, name)).is_none());
    object::metadata(&mut event).insert("name".into(), name.into());
    event
}

/// Without a name of its own yet.
fn event(about: &StoredObject, record: &Record, now: Timestamp) -> Value {
    let now = object::timestamp(now);
    // Events about cluster-scoped objects live in `default`, as in Kubernetes.
    let namespace = match about.namespace() {
        "" => "default",
        namespace => namespace,
    };
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": about.name(),
            "namespace": namespace,
        },
        "involvedObject": {
            "apiVersion": about.resource.api_version(),
            "kind": about.resource.kind,
            "namespace": about.namespace(),
            "name": about.name(),
            "uid": &about.uid,
            "resourceVersion": about.revision.to_string(),
        },
        "type": record.kind,
        "reason": record.reason,
        "message": &record.message,
        "source": {"component": record.component},
        "reportingComponent": record.component,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    })
}

fn again(mut before: Value, event: &Value) -> Value {
    let count = before.get("count").and_then(Value::as_i64).unwrap_or(1);
    before["count"] = (count + 1).into();
    object::copy(&mut before, event, "lastTimestamp");
    before
}

/// Removes events that are over an hour old, now and then.
pub async fn expire(store: Store) {
    loop {
        let (events, _) = store.list(&EVENTS.prefix(None));
        let now = Timestamp::now();
        let expired = events
            .into_iter()
            .filter(|event| is_expired(&event.value(), now));
        let deletions = expired.map(|event| {
            store.write(move |view| {
                let current = view
                    .get(&event.key)
                    .ok_or_else(|| ApiError::not_found(&EVENTS, event.name()))?;
                delete_in(view, &current, &DeleteOptions::default())
            })
        });
        for deleted in join_all(deletions).await {
            note("remove an old event", deleted);
        }
        sleep(SWEEP).await;
    }
}

fn is_expired(event: &Value, now: Timestamp) -> bool {
    [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ]
    .into_iter()
    .find_map(|pointer| object::parse_timestamp(object::text(event, pointer)))
    .is_some_and(|last| now.duration_since(last) > KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_an_hour_after_it_was_last_seen() {
        let now: Timestamp = "2026-01-01T02:00:00Z".parse().unwrap();
        let event = |last: &str| json!({"lastTimestamp": last, "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}});
        assert!(!is_expired(&event("2026-01-01T01:30:00Z"), now));
        assert!(is_expired(&event("2026-01-01T00:30:00Z"), now));
        assert!(is_expired(&event(""), now));
    }
}
