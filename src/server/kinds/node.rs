//! Nodes: their pod ranges are set once.

use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use super::{names, taint_validation};
use crate::server::object;
use crate::server::resource::{Resource, SelectableField, Strategy, Subresource};
use crate::server::status::Cause;
use crate::server::table::node as table;

pub static NODES: Resource = Resource {
    group: "",
    version: "v1",
    plural: "nodes",
    singular: "node",
    kind: "Node",
    short_names: &["no"],
    categories: &[],
    namespaced: false,
    subresources: &[Subresource::Status],
    fields: &[SelectableField {
        label: "spec.unschedulable",
        pointer: "/spec/unschedulable",
    }],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::core::v1::Node>,
        check_name: names::subdomain,
        tracks_generation: false,
        default,
        prepare_create: super::keep,
        prepare_update: super::keep_update,
        validate,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: false,
    },
    protobuf: &[],
    columns: table::COLUMNS,
    row: table::row,
};

/// Keeps the two spellings of a node's range in step: `podCIDR` is the first of `podCIDRs`.
fn default(value: &mut Value) {
    // Go writes it although nobody listens.
    object::default(
        object::map(value, "status"),
        "daemonEndpoints",
        json!({"kubeletEndpoint": {"Port": 0}}),
    );
    let spec = object::map(value, "spec");
    let first = spec
        .get("podCIDRs")
        .and_then(Value::as_array)
        .and_then(|ranges| ranges.first())
        .cloned();
    match (first, spec.get("podCIDR").cloned()) {
        (Some(first), None) => {
            spec.insert("podCIDR".into(), first);
        }
        (None, Some(single)) if single != "" => {
            spec.insert("podCIDRs".into(), json!([single]));
        }
        _ => {}
    }
}

fn validate(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let ranges = object::list(value, "/spec/podCIDRs");
    for (index, range) in ranges.iter().enumerate() {
        if !range.as_str().is_some_and(is_range) {
            causes.push(Cause::invalid(
                format!("spec.podCIDRs[{index}]"),
                range,
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ));
        }
    }
    let first = ranges.first().and_then(Value::as_str).unwrap_or("");
    if object::text(value, "/spec/podCIDR") != first {
        causes.push(Cause::invalid(
            "spec.podCIDRs[0]",
            &json!(first),
            "must be equal to spec.podCIDR",
        ));
    }
    taint_validation::taints(value, &mut causes);
    if let Some(old) = old {
        let provider = object::text(old, "/spec/providerID");
        if !provider.is_empty() && provider != object::text(value, "/spec/providerID") {
            causes.push(Cause::forbidden(
                "spec.providerID",
                "node updates may not change providerID except from \"\" to valid",
            ));
        }
        let had = object::list(old, "/spec/podCIDRs");
        if !had.is_empty() && had != ranges {
            causes.push(Cause::forbidden(
                "spec.podCIDRs",
                "node updates may not change podCIDR except from \"\" to valid",
            ));
        }
    }
    causes
}

fn is_range(text: &str) -> bool {
    // The parser takes a bare address for a range of one.
    text.contains('/')
        && text
            .parse::<IpNetwork>()
            .is_ok_and(|range| range.ip() == range.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(spec: Value) -> Value {
        let mut node = json!({"metadata": {"name": "node-1"}, "spec": spec});
        default(&mut node);
        node
    }

    #[test]
    fn the_single_range_follows_the_list() {
        let dual = node(json!({"podCIDRs": ["10.244.0.0/24", "fd00::/64"]}));
        assert_eq!(dual["spec"]["podCIDR"], "10.244.0.0/24");
        let single = node(json!({"podCIDR": "10.244.0.0/24"}));
        assert_eq!(single["spec"]["podCIDRs"], json!(["10.244.0.0/24"]));
    }

    #[test]
    fn a_range_is_set_once() {
        let none = node(json!({}));
        let some = node(json!({"podCIDRs": ["10.244.0.0/24"]}));
        let other = node(json!({"podCIDRs": ["10.244.1.0/24"]}));
        assert_eq!(validate(&some, Some(&none)), []);
        assert_eq!(validate(&some, Some(&some)), []);
        for changed in [&other, &none] {
            assert_eq!(validate(changed, Some(&some))[0].field, "spec.podCIDRs");
        }
    }

    #[test]
    fn a_range_must_be_one() {
        for bad in ["10.244.0.1/24", "10.244.0.0", "pods"] {
            assert!(
                !validate(&node(json!({"podCIDRs": [bad]})), None).is_empty(),
                "{bad}"
            );
        }
    }
}
