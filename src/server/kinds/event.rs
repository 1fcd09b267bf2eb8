//! Events: stored as they come, in the shape of `v1`; `events.k8s.io/v1` is the same under other names.

use serde_json::{Map, Value, json};

use super::names;
use crate::server::object::default;
use crate::server::resource::{Resource, SelectableField, Strategy};
use crate::server::table::plain;

pub static EVENTS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "events",
    singular: "event",
    kind: "Event",
    short_names: &["ev"],
    categories: &[],
    namespaced: true,
    subresources: &[],
    fields: &[
        SelectableField {
            label: "involvedObject.kind",
            pointer: "/involvedObject/kind",
        },
        SelectableField {
            label: "involvedObject.namespace",
            pointer: "/involvedObject/namespace",
        },
        SelectableField {
            label: "involvedObject.name",
            pointer: "/involvedObject/name",
        },
        SelectableField {
            label: "involvedObject.uid",
            pointer: "/involvedObject/uid",
        },
        SelectableField {
            label: "involvedObject.apiVersion",
            pointer: "/involvedObject/apiVersion",
        },
        SelectableField {
            label: "involvedObject.resourceVersion",
            pointer: "/involvedObject/resourceVersion",
        },
        SelectableField {
            label: "involvedObject.fieldPath",
            pointer: "/involvedObject/fieldPath",
        },
        SelectableField {
            label: "reportingComponent",
            pointer: "/reportingComponent",
        },
        SelectableField {
            label: "source",
            pointer: "/source/component",
        },
        SelectableField {
            label: "reason",
            pointer: "/reason",
        },
        SelectableField {
            label: "type",
            pointer: "/type",
        },
    ],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::core::v1::Event>,
        check_name: names::subdomain,
        tracks_generation: false,
        default: fill,
        prepare_create: super::keep,
        prepare_update: super::keep_update,
        validate: super::valid,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: false,
    },
    protobuf: &[],
    columns: plain::EVENT_COLUMNS,
    row: plain::event_row,
};

/// What Go writes of an event although it was not said.
fn fill(event: &mut Value) {
    let Some(event) = event.as_object_mut() else {
        return;
    };
    default(event, "source", json!({}));
    for moment in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        default(event, moment, Value::Null);
    }
    for text in ["reportingComponent", "reportingInstance"] {
        default(event, text, "");
    }
}

/// The newer group, and its version.
pub const GROUP: &str = "events.k8s.io";
pub const NEWER: &str = "events.k8s.io/v1";

/// What is called differently: in `v1`, and in `events.k8s.io/v1` (`pkg/apis/events/v1`).
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Renames an event of `v1`; anything else stays as it is.
pub fn to_newer(event: &mut Value) {
    let is_event = event["kind"] == "Event" && event["apiVersion"] == "v1";
    if let Some(map) = event.as_object_mut().filter(|_| is_event) {
        map.insert("apiVersion".into(), NEWER.into());
        for (old, new) in NAMES {
            rename(map, old, new);
        }
    }
}

/// Renames an event of `events.k8s.io/v1`, or a patch that says it is for one.
pub fn to_stored(event: &mut Map<String, Value>) {
    if event.get("apiVersion").and_then(Value::as_str) != Some(NEWER) {
        return;
    }
    event.insert("apiVersion".into(), "v1".into());
    for (old, new) in NAMES {
        rename(event, new, old);
    }
}

fn rename(map: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = map.shift_remove(from) {
        map.insert(to.into(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same() {
        let event = json!({
            "kind": "Event", "apiVersion": "v1", "reason": "Started", "message": "a",
            "involvedObject": {"name": "web"}, "count": 2, "source": {"component": "kubelet"},
        });
        let mut newer = event.clone();
        to_newer(&mut newer);
        assert_eq!(
            (&newer["note"], &newer["regarding"]["name"]),
            (&json!("a"), &json!("web"))
        );
        to_stored(newer.as_object_mut().unwrap());
        assert_eq!(newer, event);
    }
}
