//! Controller revisions: what a daemon set's template was, for `kubectl rollout history` and `undo`.

use serde_json::Value;

use super::names;
use crate::server::resource::{Resource, Strategy};
use crate::server::status::Cause;
use crate::server::table::network as table;

pub static CONTROLLER_REVISIONS: Resource = Resource {
    group: "apps",
    version: "v1",
    plural: "controllerrevisions",
    singular: "controllerrevision",
    kind: "ControllerRevision",
    short_names: &[],
    categories: &[],
    namespaced: true,
    subresources: &[],
    fields: &[],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::apps::v1::ControllerRevision>,
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
    protobuf: &[],
    columns: table::REVISION_COLUMNS,
    row: table::revision_row,
};

fn validate(revision: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if revision.get("data").is_none() {
        causes.push(Cause::required("data", "data is mandatory"));
    }
    if old.is_some_and(|old| old.get("data") != revision.get("data")) {
        causes.push(Cause::forbidden("data", "field is immutable"));
    }
    causes
}
