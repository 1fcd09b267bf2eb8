//! Services: a name and an address for a group of pods.

use serde_json::{Value, json};

use super::{names, service_families, service_validation};
use crate::server::object::{self, default};
use crate::server::resource::{Resource, SelectableField, Strategy, Subresource};
use crate::server::rest::protobuf::{Field, Kind, OBJECT_META};
use crate::server::table::network as table;

pub static SERVICES: Resource = Resource {
    group: "",
    version: "v1",
    plural: "services",
    singular: "service",
    kind: "Service",
    short_names: &["svc"],
    categories: &["all"],
    namespaced: true,
    subresources: &[Subresource::Status],
    fields: &[
        SelectableField {
            label: "spec.clusterIP",
            pointer: "/spec/clusterIP",
        },
        SelectableField {
            label: "spec.type",
            pointer: "/spec/type",
        },
    ],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::core::v1::Service>,
        check_name: names::service,
        tracks_generation: false,
        default: fill,
        prepare_create,
        prepare_update,
        validate: service_validation::validate,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: true,
    },
    protobuf: SERVICE,
    columns: table::SERVICE_COLUMNS,
    row: table::service_row,
};

/// What `kubectl create service` says, which sends nothing else.
const SERVICE: &[Field] = &[
    Field::new(1, "metadata", Kind::Message(OBJECT_META)),
    Field::new(2, "spec", Kind::Message(SPEC)),
];
const SPEC: &[Field] = &[
    Field::new(1, "ports", Kind::Messages(PORT)),
    Field::new(2, "selector", Kind::Pairs),
    Field::new(3, "clusterIP", Kind::Text),
    Field::new(4, "type", Kind::Text),
    Field::new(5, "externalIPs", Kind::Texts),
    Field::new(7, "sessionAffinity", Kind::Text),
    Field::new(10, "externalName", Kind::Text),
];
const PORT: &[Field] = &[
    Field::new(1, "name", Kind::Text),
    Field::new(2, "protocol", Kind::Text),
    Field::new(3, "port", Kind::Count),
    Field::new(4, "targetPort", Kind::IntOrText),
    Field::new(5, "nodePort", Kind::Count),
];

/// Whether a service of this type has an address of its own, and ports on nodes.
pub fn has_cluster_ip(service: &Value) -> bool {
    object::text(service, "/spec/type") != "ExternalName"
}

pub fn has_node_ports(service: &Value) -> bool {
    match object::text(service, "/spec/type") {
        "NodePort" => true,
        "LoadBalancer" => {
            service.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&Value::Bool(false))
        }
        _ => false,
    }
}

fn fill(service: &mut Value) {
    let spec = object::map(service, "spec");
    default(spec, "type", "ClusterIP");
    default(spec, "sessionAffinity", "None");
    if spec["sessionAffinity"] == "ClientIP" {
        const THREE_HOURS: i64 = 10_800;
        default(
            spec,
            "sessionAffinityConfig",
            json!({"clientIP": {"timeoutSeconds": THREE_HOURS}}),
        );
    }
    let external = spec["type"] == "ExternalName";
    if !external {
        default(spec, "internalTrafficPolicy", "Cluster");
        mirror_cluster_ip(spec);
        service_families::fill(spec);
    }
    match spec["type"].as_str() {
        Some("NodePort") => default(spec, "externalTrafficPolicy", "Cluster"),
        Some("LoadBalancer") => {
            default(spec, "externalTrafficPolicy", "Cluster");
            default(spec, "allocateLoadBalancerNodePorts", true);
        }
        _ => {}
    }
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        default(port, "protocol", "TCP");
        if let Some(number) = port.get("port").cloned() {
            default(port, "targetPort", number);
        }
    }
}

/// Keeps the two spellings of a service's address in step: `clusterIP` is the first of
/// `clusterIPs`.
fn mirror_cluster_ip(spec: &mut serde_json::Map<String, Value>) {
    let single = spec.get("clusterIP").and_then(Value::as_str).unwrap_or("");
    let first = spec
        .get("clusterIPs")
        .and_then(|all| all.get(0))
        .and_then(Value::as_str)
        .unwrap_or("");
    match (single.to_owned(), first.to_owned()) {
        (single, first) if first.is_empty() && !single.is_empty() => {
            spec.insert("clusterIPs".into(), json!([single]));
        }
        (single, first) if single.is_empty() && !first.is_empty() => {
            spec.insert("clusterIP".into(), first.into());
        }
        _ => {}
    }
}

/// An update of the old spelling alone means both.
fn follow_cluster_ip(spec: &mut serde_json::Map<String, Value>, old: &Value) {
    let now = spec.get("clusterIP").cloned().unwrap_or_default();
    let changed = now != "" && old["spec"].get("clusterIP") != Some(&now);
    if changed
        && spec.get("clusterIPs") == old["spec"].get("clusterIPs")
        && let Some(first) = spec.get_mut("clusterIPs").and_then(|all| all.get_mut(0))
    {
        *first = now;
    }
}

fn prepare_create(service: &mut Value) {
    service["status"] = json!({"loadBalancer": {}});
}

/// An update that says nothing of addresses and node ports keeps them, and one to a type that has none
/// gives them up (`patchAllocatedValues` of Kubernetes' strategy).
fn prepare_update(new: &mut Value, old: &Value) {
    let kind = match object::text(new, "/spec/type") {
        "" => "ClusterIP",
        kind => kind,
    };
    let (external, had_address) = (kind == "ExternalName", has_cluster_ip(old));
    let with_ports = matches!(kind, "NodePort" | "LoadBalancer");
    let changed = kind != object::text(old, "/spec/type");
    let old_ports = object::list(old, "/spec/ports");
    let spec = object::map(new, "spec");
    let unset = |spec: &serde_json::Map<String, Value>, key: &str| {
        spec.get(key)
            .is_none_or(|value| *value == "" || *value == json!([]))
    };
    if external {
        if had_address && changed {
            for key in [
                "clusterIP",
                "clusterIPs",
                "ipFamilies",
                "ipFamilyPolicy",
                "internalTrafficPolicy",
            ] {
                spec.shift_remove(key);
            }
        }
    } else {
        if unset(spec, "clusterIP") && unset(spec, "clusterIPs") {
            for key in ["clusterIP", "clusterIPs"] {
                if let Some(value) = old["spec"].get(key) {
                    spec.insert(key.into(), value.clone());
                }
            }
        }
        follow_cluster_ip(spec, old);
        service_families::release_second(spec, old);
    }
    if !with_ports && changed {
        spec.shift_remove("externalTrafficPolicy");
        spec.shift_remove("allocateLoadBalancerNodePorts");
    }
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        let before = old_ports.iter().find(|before| {
            before.get("port") == port.get("port") && before.get("name") == port.get("name")
        });
        match before.and_then(|before| before.get("nodePort")) {
            Some(number) if with_ports && port.get("nodePort").is_none() => {
                port.insert("nodePort".into(), number.clone());
            }
            Some(number) if !with_ports && changed && port.get("nodePort") == Some(number) => {
                port.shift_remove("nodePort");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(spec: Value) -> Value {
        let mut service = json!({"spec": spec});
        fill(&mut service);
        service
    }

    #[test]
    fn what_is_not_said_is_what_kubernetes_fills_in() {
        let service = filled(json!({"ports": [{"port": 80}]}));
        assert_eq!(
            service["spec"],
            json!({
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
                "type": "ClusterIP", "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
            })
        );
        assert_eq!(filled(service["spec"].clone()), service);
    }

    #[test]
    fn an_update_keeps_the_address_and_a_change_of_type_gives_up_what_it_has_not() {
        let old = filled(json!({
            "type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30080}],
        }));
        let mut new = json!({"spec": {"type": "NodePort", "ports": [{"port": 80}]}});
        prepare_update(&mut new, &old);
        assert_eq!(new["spec"]["clusterIP"], "10.96.0.9");
        assert_eq!(new["spec"]["ports"][0]["nodePort"], 30080);
        let mut plain = old.clone();
        plain["spec"]["type"] = "ClusterIP".into();
        prepare_update(&mut plain, &old);
        assert_eq!(plain["spec"]["ports"][0].get("nodePort"), None);
        assert_eq!(plain["spec"]["clusterIP"], "10.96.0.9");
        let mut external = old.clone();
        external["spec"]["type"] = "ExternalName".into();
        prepare_update(&mut external, &old);
        assert_eq!(external["spec"].get("clusterIP"), None);
    }
}
