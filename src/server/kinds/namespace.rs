//! Namespaces: alive until everything in them is gone.

use serde_json::{Value, json};

use super::names;
use crate::server::object;
use crate::server::resource::{Resource, SelectableField, Strategy, Subresource};
use crate::server::rest::protobuf::{Field, Kind, OBJECT_META};
use crate::server::status::Cause;
use crate::server::table::plain;

/// Made at every start where they are missing.
pub const BUILT_IN: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

pub static NAMESPACES: Resource = Resource {
    group: "",
    version: "v1",
    plural: "namespaces",
    singular: "namespace",
    kind: "Namespace",
    short_names: &["ns"],
    categories: &[],
    namespaced: false,
    subresources: &[Subresource::Finalize, Subresource::Status],
    fields: &[SelectableField {
        label: "status.phase",
        pointer: "/status/phase",
    }],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::core::v1::Namespace>,
        check_name: names::label,
        tracks_generation: false,
        default,
        prepare_create,
        prepare_update,
        validate,
        grace: super::no_grace,
        mark_terminating,
        returns_deleted: true,
    },
    // kubectl creates namespaces in no other way.
    protobuf: &[Field::new(1, "metadata", Kind::Message(OBJECT_META))],
    columns: plain::NAMESPACE_COLUMNS,
    row: plain::namespace_row,
};

/// Whether a namespace may never be deleted.
pub fn is_permanent(name: &str) -> bool {
    matches!(name, "default" | "kube-system" | "kube-public")
}

fn default(value: &mut Value) {
    let name = object::name(value).to_owned();
    let labels = object::metadata(value)
        .entry("labels")
        .or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
}

/// Whoever else must agree to a namespace's end may say so from the start.
fn prepare_create(value: &mut Value) {
    let mut finalizers = object::list(value, "/spec/finalizers").to_vec();
    if !finalizers.iter().any(|one| one == "kubernetes") {
        finalizers.push("kubernetes".into());
    }
    value["spec"] = json!({"finalizers": finalizers});
    value["status"] = json!({"phase": "Active"});
}

/// The finalizers change through the `finalize` subresource only.
fn prepare_update(new: &mut Value, old: &Value) {
    object::copy(new, old, "spec");
}

fn validate(value: &Value, _: Option<&Value>) -> Vec<Cause> {
    let finalizers = object::list(value, "/spec/finalizers").iter();
    finalizers
        .filter_map(|name| {
            let why = names::finalizer(name.as_str().unwrap_or(""))?;
            Some(Cause::invalid("spec.finalizers", name, why))
        })
        .collect()
}

fn mark_terminating(value: &mut Value) {
    object::map(value, "status").insert("phase".into(), "Terminating".into());
}
