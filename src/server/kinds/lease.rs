//! Leases: heartbeats and claims.

use serde_json::{Value, json};

use super::names;
use crate::server::resource::{Resource, Strategy};
use crate::server::status::Cause;
use crate::server::table::plain;

pub static LEASES: Resource = Resource {
    group: "coordination.k8s.io",
    version: "v1",
    plural: "leases",
    singular: "lease",
    kind: "Lease",
    short_names: &[],
    categories: &[],
    namespaced: true,
    subresources: &[],
    fields: &[],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::coordination::v1::Lease>,
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
    columns: plain::LEASE_COLUMNS,
    row: plain::lease_row,
};

fn validate(value: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (field, least) in [("leaseDurationSeconds", 1), ("leaseTransitions", 0)] {
        let given = value
            .pointer(&format!("/spec/{field}"))
            .and_then(Value::as_i64);
        if let Some(given) = given.filter(|given| *given < least) {
            causes.push(Cause::invalid(
                format!("spec.{field}"),
                &json!(given),
                match least {
                    0 => "must be greater than or equal to 0",
                    _ => "must be greater than 0",
                },
            ));
        }
    }
    causes
}
