//! Tables of what keeps pods running (`printDeployment` and its like).

use jiff::Timestamp;
use serde_json::Value;

use super::{Column, age, number, or_none};
use crate::server::object::{list, name, pairs, text};
use crate::server::selector::LabelSelector;

pub const DEPLOYMENT_COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Ready"),
    Column::text("Up-to-date"),
    Column::text("Available"),
    Column::AGE,
    Column::wide("Containers"),
    Column::wide("Images"),
    Column::wide("Selector"),
];

pub fn deployment_row(deployment: &Value, now: Timestamp) -> Vec<Value> {
    let ready = format!(
        "{}/{}",
        number(deployment, "/status/readyReplicas"),
        number(deployment, "/spec/replicas")
    );
    let mut row = vec![
        name(deployment).into(),
        ready.into(),
        number(deployment, "/status/updatedReplicas"),
        number(deployment, "/status/availableReplicas"),
        age(deployment, "/metadata/creationTimestamp", now),
    ];
    row.extend(wide(deployment));
    row
}

pub const REPLICA_SET_COLUMNS: &[Column] = &[
    Column::NAME,
    Column::number("Desired"),
    Column::number("Current"),
    Column::number("Ready"),
    Column::AGE,
    Column::wide("Containers"),
    Column::wide("Images"),
    Column::wide("Selector"),
];

pub fn replica_set_row(set: &Value, now: Timestamp) -> Vec<Value> {
    let mut row = vec![
        name(set).into(),
        number(set, "/spec/replicas"),
        number(set, "/status/replicas"),
        number(set, "/status/readyReplicas"),
        age(set, "/metadata/creationTimestamp", now),
    ];
    row.extend(wide(set));
    row
}

pub const DAEMON_SET_COLUMNS: &[Column] = &[
    Column::NAME,
    Column::number("Desired"),
    Column::number("Current"),
    Column::number("Ready"),
    Column::number("Up-to-date"),
    Column::number("Available"),
    Column::text("Node Selector"),
    Column::AGE,
    Column::wide("Containers"),
    Column::wide("Images"),
    Column::wide("Selector"),
];

pub fn daemon_set_row(set: &Value, now: Timestamp) -> Vec<Value> {
    let mut selector: Vec<String> = pairs(set, "/spec/template/spec/nodeSelector")
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    selector.sort();
    let mut row = vec![
        name(set).into(),
        number(set, "/status/desiredNumberScheduled"),
        number(set, "/status/currentNumberScheduled"),
        number(set, "/status/numberReady"),
        number(set, "/status/updatedNumberScheduled"),
        number(set, "/status/numberAvailable"),
        or_none(&selector.join(",")),
        age(set, "/metadata/creationTimestamp", now),
    ];
    row.extend(wide(set));
    row
}

/// Containers, images and selector, with `-o wide`.
fn wide(workload: &Value) -> [Value; 3] {
    let containers = list(workload, "/spec/template/spec/containers");
    let all = |pointer: &str| -> Value {
        let texts: Vec<&str> = containers.iter().map(|one| text(one, pointer)).collect();
        texts.join(",").into()
    };
    let selector = LabelSelector::of(&workload["spec"]["selector"]).unwrap_or_default();
    [all("/name"), all("/image"), or_none(&selector.to_string())]
}
