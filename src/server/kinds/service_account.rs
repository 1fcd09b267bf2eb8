//! Service accounts: every namespace has one named `default`. Nothing here gives them rights.

use super::names;
use crate::server::resource::{Resource, Strategy};
use crate::server::rest::protobuf::{Field, Kind, OBJECT_META};
use crate::server::table::network as table;

pub static SERVICE_ACCOUNTS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "serviceaccounts",
    singular: "serviceaccount",
    kind: "ServiceAccount",
    short_names: &["sa"],
    categories: &[],
    namespaced: true,
    subresources: &[],
    fields: &[],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::core::v1::ServiceAccount>,
        check_name: names::subdomain,
        tracks_generation: false,
        default: super::keep,
        prepare_create: super::keep,
        prepare_update: super::keep_update,
        validate: super::valid,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: true,
    },
    // `kubectl create serviceaccount` sends nothing else.
    protobuf: &[Field::new(1, "metadata", Kind::Message(OBJECT_META))],
    columns: table::SERVICE_ACCOUNT_COLUMNS,
    row: table::service_account_row,
};
