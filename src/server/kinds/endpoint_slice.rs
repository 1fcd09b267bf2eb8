//! Endpoint slices: the addresses behind a service, a hundred at a time.

use serde_json::{Value, json};

use super::names;
use crate::server::object::{self, default};
use crate::server::resource::{Resource, Strategy};
use crate::server::status::Cause;
use crate::server::table::network as table;

/// `maxEndpoints` of Kubernetes' validation.
const MAX_ENDPOINTS: usize = 1000;

pub static ENDPOINT_SLICES: Resource = Resource {
    group: "discovery.k8s.io",
    version: "v1",
    plural: "endpointslices",
    singular: "endpointslice",
    kind: "EndpointSlice",
    short_names: &[],
    categories: &[],
    namespaced: true,
    subresources: &[],
    fields: &[],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::discovery::v1::EndpointSlice>,
        check_name: names::subdomain,
        tracks_generation: true,
        default: fill,
        prepare_create: super::keep,
        prepare_update: super::keep_update,
        validate,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: false,
    },
    protobuf: &[],
    columns: table::ENDPOINT_SLICE_COLUMNS,
    row: table::endpoint_slice_row,
};

fn fill(slice: &mut Value) {
    let ports = slice.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        default(port, "name", "");
        default(port, "protocol", "TCP");
    }
}

fn validate(slice: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let family = object::text(slice, "/addressType");
    if family.is_empty() {
        causes.push(Cause::required("addressType", ""));
    } else if !matches!(family, "IPv4" | "IPv6" | "FQDN") {
        causes.push(Cause::unsupported(
            "addressType",
            family,
            &["FQDN", "IPv4", "IPv6"],
        ));
    }
    if old.is_some_and(|old| object::text(old, "/addressType") != family) {
        causes.push(Cause::invalid(
            "addressType",
            &json!(family),
            "field is immutable",
        ));
    }
    let endpoints = object::list(slice, "/endpoints");
    if endpoints.len() > MAX_ENDPOINTS {
        causes.push(Cause::too_many("endpoints", endpoints.len(), MAX_ENDPOINTS));
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        if object::list(endpoint, "/addresses").is_empty() {
            causes.push(Cause::required(
                format!("endpoints[{index}].addresses"),
                "must contain at least 1 address",
            ));
        }
    }
    causes
}
