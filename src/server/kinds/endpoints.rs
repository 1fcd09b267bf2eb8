//! Endpoints: the addresses behind a service, in the old form.

use super::names;
use crate::server::resource::{Resource, Strategy};
use crate::server::table::network as table;

pub static ENDPOINTS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "endpoints",
    singular: "endpoints",
    kind: "Endpoints",
    short_names: &["ep"],
    categories: &[],
    namespaced: true,
    subresources: &[],
    fields: &[],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::core::v1::Endpoints>,
        check_name: names::subdomain,
        tracks_generation: false,
        default: super::keep,
        prepare_create: super::keep,
        prepare_update: super::keep_update,
        validate: super::valid,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: false,
    },
    protobuf: &[],
    columns: table::ENDPOINTS_COLUMNS,
    row: table::endpoints_row,
};
