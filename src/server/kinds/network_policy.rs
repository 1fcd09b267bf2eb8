//! Network policies: who may talk to which pods.

use serde_json::{Value, json};

use super::names;
use crate::server::object::{self, default};
use crate::server::resource::{Resource, Strategy};
use crate::server::status::Cause;
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
        validate,
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

fn validate(policy: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (index, kind) in object::list(policy, "/spec/policyTypes").iter().enumerate() {
        let kind = kind.as_str().unwrap_or("");
        if !matches!(kind, "Ingress" | "Egress") {
            causes.push(Cause::unsupported(
                format!("spec.policyTypes[{index}]"),
                kind,
                &["Egress", "Ingress"],
            ));
        }
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in object::list(policy, &format!("/spec/{direction}"))
            .iter()
            .enumerate()
        {
            for (at, peer) in object::list(rule, &format!("/{peers}")).iter().enumerate() {
                let path = format!("spec.{direction}[{index}].{peers}[{at}]");
                validate_peer(peer, &path, &mut causes);
            }
        }
    }
    causes
}

fn validate_peer(peer: &Value, path: &str, causes: &mut Vec<Cause>) {
    let has = |key: &str| peer.get(key).is_some();
    let selects = has("podSelector") || has("namespaceSelector");
    match (has("ipBlock"), selects) {
        (true, true) => causes.push(Cause::forbidden(
            path,
            "may not specify both ipBlock and another peer",
        )),
        (false, false) => causes.push(Cause::required(path, "must specify a peer")),
        (true, false) => {
            let cidr = object::text(peer, "/ipBlock/cidr");
            if cidr.is_empty() {
                causes.push(Cause::required(format!("{path}.ipBlock.cidr"), ""));
            } else if cidr.parse::<ipnetwork::IpNetwork>().is_err() || !cidr.contains('/') {
                causes.push(Cause::invalid(
                    format!("{path}.ipBlock.cidr"),
                    &json!(cidr),
                    "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                ));
            }
        }
        (false, true) => {}
    }
}
