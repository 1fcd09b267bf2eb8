//! Events: stored as they come.

use super::names;
use crate::server::resource::{Resource, SelectableField, Strategy};
use crate::server::table::plain;

pub static EVENTS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "events",
    singular: "event",
    kind: "Event",
    short_names: &["ev"],
    categories: &[],
    namespaced: true,
    subresources: &[],
    fields: &[
        SelectableField {
            label: "involvedObject.kind",
            pointer: "/involvedObject/kind",
        },
        SelectableField {
            label: "involvedObject.namespace",
            pointer: "/involvedObject/namespace",
        },
        SelectableField {
            label: "involvedObject.name",
            pointer: "/involvedObject/name",
        },
        SelectableField {
            label: "involvedObject.uid",
            pointer: "/involvedObject/uid",
        },
        SelectableField {
            label: "reason",
            pointer: "/reason",
        },
        SelectableField {
            label: "type",
            pointer: "/type",
        },
    ],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::core::v1::Event>,
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
    columns: plain::EVENT_COLUMNS,
    row: plain::event_row,
};
