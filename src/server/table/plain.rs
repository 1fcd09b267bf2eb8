//! Tables of the kinds whose cells are plain fields.

use jiff::Timestamp;
use serde_json::Value;

use super::{Column, age};
use crate::server::kinds::config_map;
use crate::server::object::{name, text};

pub const CONFIG_MAP_COLUMNS: &[Column] = &[Column::NAME, Column::text("Data"), Column::AGE];

pub fn config_map_row(value: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(value).into(),
        config_map::count(value).into(),
        age(value, "/metadata/creationTimestamp", now),
    ]
}

pub const NAMESPACE_COLUMNS: &[Column] = &[Column::NAME, Column::text("Status"), Column::AGE];

pub fn namespace_row(namespace: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(namespace).into(),
        text(namespace, "/status/phase").into(),
        age(namespace, "/metadata/creationTimestamp", now),
    ]
}

pub const LEASE_COLUMNS: &[Column] = &[Column::NAME, Column::text("Holder"), Column::AGE];

pub fn lease_row(lease: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(lease).into(),
        text(lease, "/spec/holderIdentity").into(),
        age(lease, "/metadata/creationTimestamp", now),
    ]
}

pub const EVENT_COLUMNS: &[Column] = &[
    Column::text("Last Seen"),
    Column::text("Type"),
    Column::text("Reason"),
    Column::text("Object"),
    Column::wide("Subobject"),
    Column::wide("Source"),
    Column::text("Message"),
    Column::wide("First Seen"),
    Column::wide("Count"),
    Column {
        name: "Name",
        kind: "string",
        format: "name",
        priority: 1,
    },
];

pub fn event_row(event: &Value, now: Timestamp) -> Vec<Value> {
    let first_of = |pointers: [&'static str; 4]| {
        let given = pointers
            .into_iter()
            .find(|pointer| !text(event, pointer).is_empty());
        age(event, given.unwrap_or("/metadata/creationTimestamp"), now)
    };
    let object = format!(
        "{}/{}",
        text(event, "/involvedObject/kind").to_lowercase(),
        text(event, "/involvedObject/name")
    );
    let source = [
        text(event, "/source/component"),
        text(event, "/source/host"),
        text(event, "/reportingComponent"),
    ];
    let source: Vec<&str> = source.into_iter().filter(|part| !part.is_empty()).collect();
    let count = event.get("count").and_then(Value::as_i64).unwrap_or(1);
    vec![
        first_of([
            "/series/lastObservedTime",
            "/lastTimestamp",
            "/firstTimestamp",
            "/eventTime",
        ]),
        text(event, "/type").into(),
        text(event, "/reason").into(),
        object.into(),
        text(event, "/involvedObject/fieldPath").into(),
        source.join(", ").into(),
        text(event, "/message").trim().into(),
        first_of([
            "/firstTimestamp",
            "/eventTime",
            "/lastTimestamp",
            "/eventTime",
        ]),
        count.into(),
        name(event).into(),
    ]
}
