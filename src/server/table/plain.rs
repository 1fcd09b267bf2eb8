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
    let since = |pointers: &[&'static str]| {
        let given = pointers
            .iter()
            .find(|pointer| !text(event, pointer).is_empty());
        age(event, given.unwrap_or(&"/eventTime"), now)
    };
    let either = |one: &str, other: &str| match text(event, one) {
        "" => text(event, other).to_owned(),
        given => given.to_owned(),
    };
    let object = [
        text(event, "/involvedObject/kind").to_lowercase(),
        text(event, "/involvedObject/name").to_owned(),
    ];
    let source = [
        either("/source/component", "/reportingComponent"),
        either("/source/host", "/reportingInstance"),
    ];
    let said = |parts: [String; 2], between: &str| {
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(between)
    };
    let count = ["/series/count", "/count"]
        .into_iter()
        .find_map(|pointer| event.pointer(pointer)?.as_i64())
        .filter(|count| *count > 0);
    vec![
        since(&[
            "/series/lastObservedTime",
            "/lastTimestamp",
            "/firstTimestamp",
        ]),
        text(event, "/type").into(),
        text(event, "/reason").into(),
        said(object, "/").into(),
        text(event, "/involvedObject/fieldPath").into(),
        said(source, ", ").into(),
        text(event, "/message").trim().into(),
        since(&["/firstTimestamp"]),
        count.unwrap_or(1).into(),
        name(event).into(),
    ]
}
