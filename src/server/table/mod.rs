//! Tables: how `kubectl get` shows objects, made on the server as in Kubernetes.
//!
//! Columns and cells are those of `pkg/printers/internalversion`, so that a user sees what a real
//! cluster shows.

pub mod network;
pub mod node;
pub mod plain;
pub mod pod;
pub mod workload;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::object;
use super::resource::Resource;

pub struct Column {
    pub name: &'static str,
    pub kind: &'static str,
    /// `name` marks the column that names the object.
    pub format: &'static str,
    /// 0: always shown; 1: with `-o wide`.
    pub priority: u8,
}

impl Column {
    pub const NAME: Column = Column {
        name: "Name",
        kind: "string",
        format: "name",
        priority: 0,
    };
    pub const AGE: Column = Column::text("Age");

    pub const fn text(name: &'static str) -> Column {
        Column {
            name,
            kind: "string",
            format: "",
            priority: 0,
        }
    }

    pub const fn number(name: &'static str) -> Column {
        Column {
            kind: "integer",
            ..Column::text(name)
        }
    }

    pub const fn wide(name: &'static str) -> Column {
        Column {
            name,
            kind: "string",
            format: "",
            priority: 1,
        }
    }
}

/// How much of each object a row carries beside its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncludeObject {
    None,
    Metadata,
    Object,
}

impl IncludeObject {
    pub fn parse(text: Option<&str>) -> Option<IncludeObject> {
        match text {
            None | Some("" | "Metadata") => Some(IncludeObject::Metadata),
            Some("None") => Some(IncludeObject::None),
            Some("Object") => Some(IncludeObject::Object),
            Some(_) => None,
        }
    }
}

/// A `Table` of the given objects. `revision` is the list's, or the single object's.
pub fn render(
    resource: &Resource,
    objects: Vec<Value>,
    revision: &str,
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let columns: Vec<Value> = resource
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.kind,
                "format": column.format,
                "description": "",
                "priority": column.priority,
            })
        })
        .collect();
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| row(resource, object, include, now))
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": revision},
        "columnDefinitions": columns,
        "rows": rows,
    })
}

fn row(resource: &Resource, value: Value, include: IncludeObject, now: Timestamp) -> Value {
    let cells = (resource.row)(&value, now);
    match include {
        IncludeObject::None => json!({"cells": cells}),
        IncludeObject::Object => json!({"cells": cells, "object": value}),
        IncludeObject::Metadata => {
            json!({"cells": cells, "object": object::only_metadata(value)})
        }
    }
}

/// The time since the moment at `pointer`, or `<unknown>`.
fn age(value: &Value, pointer: &str, now: Timestamp) -> Value {
    match object::parse_timestamp(object::text(value, pointer)) {
        Some(since) => duration(now.duration_since(since).as_secs()).into(),
        None => "<unknown>".into(),
    }
}

/// A duration as `duration.HumanDuration` shows it: two units at most, one where it suffices.
fn duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |large: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => two(seconds / MINUTE, "m", seconds % MINUTE, "s"),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "m"),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => two(seconds / YEAR, "y", seconds % YEAR / DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

/// The whole number at `pointer`, or 0, as Go's zero value.
fn number(value: &Value, pointer: &str) -> Value {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or(0)
        .into()
}

/// `<none>` for an absent text, as Kubernetes prints it.
fn or_none(text: &str) -> Value {
    or(text, "<none>")
}

fn or(text: &str, absent: &str) -> Value {
    match text {
        "" => absent.into(),
        text => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_kubectl_shows_them() {
        for (seconds, shown) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 60, "3h1m"),
            (10 * 3600 + 60, "10h"),
            (3 * 86400 + 3600, "3d1h"),
            (20 * 86400, "20d"),
            (800 * 86400, "2y70d"),
        ] {
            assert_eq!(duration(seconds), shown, "{seconds}");
        }
    }
}
