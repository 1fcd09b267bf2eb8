//! Replica sets: so many pods of one template.

use serde_json::{Value, json};

use super::{names, workload};
use crate::server::object::{self, default};
use crate::server::resource::{Resource, Strategy, Subresource};
use crate::server::status::Cause;
use crate::server::table::workload as table;

pub static REPLICA_SETS: Resource = Resource {
    group: "apps",
    version: "v1",
    plural: "replicasets",
    singular: "replicaset",
    kind: "ReplicaSet",
    short_names: &["rs"],
    categories: &["all"],
    namespaced: true,
    subresources: &[Subresource::Scale, Subresource::Status],
    fields: &[],
    strategy: Strategy {
        unknown_fields: |object| {
            super::unknown_fields_around::<k8s_openapi::api::apps::v1::ReplicaSet>(
                object,
                "/spec/template/spec",
            )
        },
        check_name: names::subdomain,
        tracks_generation: true,
        default: fill,
        prepare_create,
        prepare_update: super::keep_update,
        validate,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: false,
    },
    protobuf: &[],
    columns: table::REPLICA_SET_COLUMNS,
    row: table::replica_set_row,
};

fn fill(set: &mut Value) {
    let spec = object::map(set, "spec");
    default(spec, "replicas", 1);
    workload::fill_template(spec);
}

fn prepare_create(set: &mut Value) {
    set["status"] = json!({"replicas": 0});
}

fn validate(set: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = workload::validate(set, old, "replicaset");
    for field in ["replicas", "minReadySeconds"] {
        workload::not_negative(set, field, &mut causes);
    }
    causes
}
