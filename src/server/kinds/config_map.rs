//! ConfigMaps.

use serde_json::{Value, json};

use super::names;
use crate::server::resource::{Resource, Strategy};
use crate::server::rest::protobuf::{Field, Kind, OBJECT_META};
use crate::server::status::Cause;
use crate::server::table::plain;

/// Of all keys' values together (`MaxSecretSize` in pkg/apis/core).
const MAX_BYTES: usize = 1 << 20;
const MAX_KEY: usize = 253;
const KEY_MESSAGE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' \
    (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const IMMUTABLE_MESSAGE: &str = "field is immutable when `immutable` is set";

pub static CONFIG_MAPS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "configmaps",
    singular: "configmap",
    kind: "ConfigMap",
    short_names: &["cm"],
    categories: &[],
    namespaced: true,
    subresources: &[],
    fields: &[],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::core::v1::ConfigMap>,
        check_name: names::subdomain,
        tracks_generation: false,
        default: super::keep,
        prepare_create: super::keep,
        prepare_update: super::keep_update,
        validate,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: false,
    },
    // kubectl creates ConfigMaps in no other way.
    protobuf: &[
        Field::new(1, "metadata", Kind::Message(OBJECT_META)),
        Field::new(2, "data", Kind::Pairs),
        Field::new(3, "binaryData", Kind::Blobs),
    ],
    columns: plain::CONFIG_MAP_COLUMNS,
    row: plain::config_map_row,
};

fn validate(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let is_text = |key: &str| {
        value
            .pointer("/data")
            .is_some_and(|data| data.get(key).is_some())
    };
    let mut size = 0;
    for field in ["data", "binaryData"] {
        let map = value.get(field).and_then(Value::as_object);
        for (key, content) in map.into_iter().flatten() {
            let path = format!("{field}[{key}]");
            if let Some(why) = bad_key(key) {
                causes.push(Cause::invalid(&path, &json!(key), why));
            }
            if field == "binaryData" && is_text(key) {
                causes.push(Cause::invalid(
                    &path,
                    &json!(key),
                    "duplicate of key present in data",
                ));
            }
            let length = content.as_str().map_or(0, str::len);
            // Four letters of base64 are three bytes.
            size += if field == "data" {
                length
            } else {
                length / 4 * 3
            };
        }
    }
    if size > MAX_BYTES {
        causes.push(Cause::too_long("[]", MAX_BYTES));
    }
    if let Some(old) = old.filter(|old| old["immutable"] == json!(true)) {
        for field in ["immutable", "data", "binaryData"] {
            if value.get(field) != old.get(field) {
                causes.push(Cause::forbidden(field, IMMUTABLE_MESSAGE));
            }
        }
    }
    causes
}

/// What is wrong with a key, in Kubernetes' words (`IsConfigMapKey`).
fn bad_key(key: &str) -> Option<&'static str> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if key.len() > MAX_KEY {
        Some("must be no more than 253 characters")
    } else if key.is_empty() || !key.chars().all(known) {
        Some(KEY_MESSAGE)
    } else if key == "." {
        Some("must not be '.'")
    } else if key == ".." {
        Some("must not be '..'")
    } else if key.starts_with("..") {
        Some("must not start with '..'")
    } else {
        None
    }
}

/// How many keys it has.
pub fn count(value: &Value) -> usize {
    let keys = |field: &str| {
        value
            .get(field)
            .and_then(Value::as_object)
            .map_or(0, |map| map.len())
    };
    keys("data") + keys("binaryData")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(value: Value, old: Option<Value>) -> Vec<String> {
        let causes = validate(&value, old.as_ref());
        causes
            .into_iter()
            .map(|cause| format!("{}: {}", cause.field, cause.detail))
            .collect()
    }

    #[test]
    fn keys_sizes_and_what_may_not_change() {
        assert!(
            problems(
                json!({"data": {"a.b-c_D": "x"}, "binaryData": {"e": "AA=="}}),
                None
            )
            .is_empty()
        );
        for (key, why) in [
            ("a b", KEY_MESSAGE),
            ("", KEY_MESSAGE),
            ("..", "must not be '..'"),
            ("..a", "must not start with '..'"),
        ] {
            let found = problems(json!({"data": {key: "x"}}), None);
            assert_eq!(
                found,
                [format!("data[{key}]: Invalid value: {key:?}: {why}")]
            );
        }
        let found = problems(
            json!({"data": {"a": "x"}, "binaryData": {"a": "AA=="}}),
            None,
        );
        assert_eq!(
            found,
            ["binaryData[a]: Invalid value: \"a\": duplicate of key present in data"]
        );
        let large = problems(json!({"data": {"a": "x".repeat(MAX_BYTES + 1)}}), None);
        assert_eq!(large, ["[]: Too long: may not be more than 1048576 bytes"]);
        let old = json!({"data": {"a": "x"}, "immutable": true});
        assert!(problems(old.clone(), Some(old.clone())).is_empty());
        let found = problems(json!({"data": {"a": "y"}, "immutable": true}), Some(old));
        assert_eq!(found, [format!("data: Forbidden: {IMMUTABLE_MESSAGE}")]);
    }
}
