//! Reading and changing Kubernetes objects as JSON.
//!
//! The server holds objects as JSON rather than as typed values, so that it neither loses a field it
//! does not know nor needs code per kind. Paths are JSON pointers (RFC 6901).

use serde_json::{Map, Value};

/// What is at `pointer`. As [`Value::pointer`], which makes two strings of every part of it.
pub fn at<'a>(object: &'a Value, pointer: &str) -> Option<&'a Value> {
    if pointer.contains('~') {
        return object.pointer(pointer);
    }
    let mut parts = pointer.split('/').skip(1);
    parts.try_fold(object, |parent, part| match parent {
        Value::Object(map) => map.get(part),
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The string at `pointer`, or the empty string, as Go's zero value.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    at(object, pointer).and_then(Value::as_str).unwrap_or("")
}

pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// The list at `pointer`, or an empty one.
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    at(object, pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The map at `pointer` as pairs of strings; values that are no strings are left out.
pub fn pairs<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    at(object, pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// The map named `key` in `object`, made if absent; whatever else stood there is replaced.
pub fn map<'a>(object: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let slot = &mut object[key];
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("it was made a map just now"),
    }
}

pub fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    map(object, "metadata")
}

/// Sets `key` where it is absent or null.
pub fn default(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    match map.get_mut(key) {
        None => {
            map.insert(key.to_owned(), value.into());
        }
        Some(slot) if slot.is_null() => *slot = value.into(),
        Some(_) => {}
    }
}

/// Makes `key` in `object` what it is in `model`, absence included.
pub fn copy(object: &mut Value, model: &Value, key: &str) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    match model.get(key) {
        Some(value) => {
            map.insert(key.to_owned(), value.clone());
        }
        None => {
            map.shift_remove(key);
        }
    }
}

/// An object's metadata alone, as `meta/v1 PartialObjectMetadata`.
pub fn only_metadata(mut object: Value) -> Value {
    serde_json::json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"].take(),
    })
}

pub fn is_terminating(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// Takes null map entries away, as Go's decoder does for pointers, strings and lists.
pub fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(prune_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}

/// The condition of that type in `status.conditions`.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == kind)
}

/// Replaces the condition of the same type or adds it. `lastTransitionTime` moves only when the
/// status does. Whether anything is different then.
pub fn set_condition(object: &mut Value, mut condition: Value, now: &str) -> bool {
    let kind = text(&condition, "/type").to_owned();
    let conditions = map(object, "status")
        .entry("conditions")
        .or_insert_with(|| Value::Array(Vec::new()));
    if !conditions.is_array() {
        *conditions = Value::Array(Vec::new());
    }
    let Value::Array(conditions) = conditions else {
        return false;
    };
    let existing = conditions
        .iter_mut()
        .find(|existing| text(existing, "/type") == kind);
    match existing {
        Some(existing) => {
            let same = text(existing, "/status") == text(&condition, "/status");
            condition["lastTransitionTime"] = match existing.get("lastTransitionTime") {
                Some(since) if same => since.clone(),
                _ => now.into(),
            };
            let changes = *existing != condition;
            *existing = condition;
            changes
        }
        None => {
            condition["lastTransitionTime"] = now.into();
            conditions.push(condition);
            true
        }
    }
}

/// A moment as `metav1.Time` prints it.
pub fn timestamp(moment: jiff::Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The text of an object. `Value`'s own `to_string` hands every piece of it to a formatter.
pub fn write(object: &Value, text: &mut Vec<u8>) {
    serde_json::to_writer(text, object).expect("a vector takes whatever is written to it");
}

pub fn parse_timestamp(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pointer_leads_where_serde_s_does() {
        let object = json!({"a": {"": 1, "b/c": [2, {"d": 3}]}, "0": 4});
        for pointer in [
            "",
            "/",
            "/a",
            "/a/",
            "/a/b~1c/1/d",
            "/a/b~1c",
            "/0",
            "/a/x",
            "/0/x",
            "/a/b",
        ] {
            assert_eq!(at(&object, pointer), object.pointer(pointer), "{pointer}");
        }
        let list = json!([1, [2]]);
        for pointer in ["/0", "/1/0", "/2", "/x", "/-"] {
            assert_eq!(at(&list, pointer), list.pointer(pointer), "{pointer}");
        }
    }
}
