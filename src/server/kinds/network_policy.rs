//! Network policies: who may talk to which pods.

use serde_json::{Value, json};

use super::{names, network_policy_validation};
use crate::server::object::{self, default};
use crate::server::resource::{Resource, Strategy};
use crate::server::table::network as table;

pub static NETWORK_POLICIES: Resource = Resource {
    group: "networking.k8s.io",
    version: "v1",
    plural: "networkpolicies",
    singular: "networkpolicy",
    kind: "NetworkPolicy",
    short_names: &["netpol"],
    categories: &[],
    namespaced: true,
    subresources: &[],
    fields: &[],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::networking::v1::NetworkPolicy>,
        check_name: names::subdomain,
        tracks_generation: true,
        default: fill,
        prepare_create: super::keep,
        prepare_update: super::keep_update,
        validate: network_policy_validation::validate,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: false,
    },
    protobuf: &[],
    columns: table::NETWORK_POLICY_COLUMNS,
    row: table::network_policy_row,
};

fn fill(policy: &mut Value) {
    let spec = object::map(policy, "spec");
    default(spec, "podSelector", json!({}));
    // A policy that says nothing of its direction is about both where it has egress rules.
    let types = match spec.get("egress").and_then(Value::as_array) {
        Some(rules) if !rules.is_empty() => json!(["Ingress", "Egress"]),
        _ => json!(["Ingress"]),
    };
    default(spec, "policyTypes", types);
    for direction in ["ingress", "egress"] {
        let rules = spec.get_mut(direction).and_then(Value::as_array_mut);
        let ports = rules
            .into_iter()
            .flatten()
            .filter_map(|rule| rule.get_mut("ports").and_then(Value::as_array_mut))
            .flatten();
        for port in ports.filter_map(Value::as_object_mut) {
            default(port, "protocol", "TCP");
        }
    }
}
