//! What differs between kinds: their row in the resource table, defaults, validation.

pub mod config_map;
mod container_validation;
pub mod controller_revision;
pub mod daemon_set;
pub mod deployment;
pub mod endpoint_slice;
pub mod endpoints;
pub mod event;
pub mod lease;
pub mod metadata;
mod mismatch;
pub mod names;
pub mod namespace;
pub mod network_policy;
mod network_policy_validation;
pub mod node;
mod placement_validation;
pub mod pod;
mod pod_defaults;
mod pod_validation;
mod probe_validation;
pub mod replica_set;
mod resources;
pub mod review;
pub mod service;
pub mod service_account;
pub mod service_families;
pub mod service_range;
mod service_validation;
mod taint_validation;
mod volume_validation;
pub mod workload;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

use super::status::Cause;
use super::store::View;

/// A field of an object that its type does not have.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// As Kubernetes writes it: `spec.containers[0].foo`.
    pub path: String,
    /// The JSON pointer of the map it is in.
    pub parent: String,
    pub key: String,
}

/// The fields in `object` that `T` does not have.
///
/// # Errors
/// `object` is no `T` at all; the error says why.
fn unknown_fields<T: DeserializeOwned + JsonSchema>(
    object: &Value,
) -> Result<Vec<UnknownField>, String> {
    let mut unknown = Vec::new();
    serde_ignored::deserialize::<_, _, T>(object, |path| {
        let (path, pointer) = spell(&path);
        if let Some((parent, key)) = pointer.rsplit_once('/') {
            unknown.push(UnknownField {
                path,
                parent: parent.to_owned(),
                key: key.replace("~1", "/").replace("~0", "~"),
            });
        }
    })
    .map(|_| unknown)
    .map_err(|error| mismatch::of::<T>(object).unwrap_or_else(|| error.to_string()))
}

/// As [`unknown_fields`], for a kind with a pod's spec at `pointer`, whose quantities must be some.
fn unknown_fields_around<T: DeserializeOwned + JsonSchema>(
    object: &Value,
    pointer: &str,
) -> Result<Vec<UnknownField>, String> {
    let unknown = unknown_fields::<T>(object)?;
    resources::read(object.pointer(pointer))?;
    Ok(unknown)
}

/// The path as Kubernetes writes it, and as a JSON pointer.
fn spell(path: &Path<'_>) -> (String, String) {
    match path {
        Path::Root => Default::default(),
        Path::Seq { parent, index } => {
            let (path, pointer) = spell(parent);
            (format!("{path}[{index}]"), format!("{pointer}/{index}"))
        }
        Path::Map { parent, key } => {
            let (path, pointer) = spell(parent);
            let dot = if path.is_empty() { "" } else { "." };
            let escaped = key.replace('~', "~0").replace('/', "~1");
            (format!("{path}{dot}{key}"), format!("{pointer}/{escaped}"))
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => spell(parent),
    }
}

// The parts of a strategy for kinds that have nothing of their own to say.

fn keep(_: &mut Value) {}

fn keep_update(_: &mut Value, _: &Value) {}

fn valid(_: &Value, _: Option<&Value>) -> Vec<Cause> {
    Vec::new()
}

fn no_grace(_: &Value, _: Option<i64>, _: &View<'_>) -> Option<i64> {
    None
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_are_named_by_their_path() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"nmae": "x"},
            "spec": {"containers": [{"name": "a", "imge": "b"}], "foo": 1},
        });
        let unknown = unknown_fields::<Pod>(&pod).unwrap();
        let mut paths: Vec<&str> = unknown.iter().map(|field| field.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            ["metadata.nmae", "spec.containers[0].imge", "spec.foo"]
        );
        let image = unknown.iter().find(|field| field.key == "imge").unwrap();
        assert_eq!(image.parent, "/spec/containers/0");
    }

    #[test]
    fn a_wrong_type_is_an_error() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": 7}});
        assert!(unknown_fields::<Pod>(&pod).is_err());
    }
}
