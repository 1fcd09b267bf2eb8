//! What a service must be, and what of it may change.

use std::collections::HashSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::{names, service};
use crate::server::object;
use crate::server::status::Cause;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

pub fn validate(service: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let kind = object::text(service, "/spec/type");
    let cluster_ip = object::text(service, "/spec/clusterIP");
    let ports = object::list(service, "/spec/ports");
    if !TYPES.contains(&kind) {
        causes.push(Cause::unsupported("spec.type", kind, TYPES));
    }
    if kind == "ExternalName" {
        validate_external_name(service, &mut causes);
    } else if ports.is_empty() && cluster_ip != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    validate_ports(service, ports, &mut causes);
    for (key, value) in object::pairs(service, "/spec/selector") {
        if let Some(why) = names::qualified_name(key) {
            causes.push(Cause::invalid("spec.selector", &json!(key), why));
        }
        if let Some(why) = names::label_value(value) {
            causes.push(Cause::invalid("spec.selector", &json!(value), why));
        }
    }
    let affinity = object::text(service, "/spec/sessionAffinity");
    if !matches!(affinity, "None" | "ClientIP") {
        causes.push(Cause::unsupported(
            "spec.sessionAffinity",
            affinity,
            &["ClientIP", "None"],
        ));
    }
    validate_families(service, &mut causes);
    validate_addresses(service, &mut causes);
    if let Some(old) = old {
        validate_update(service, old, &mut causes);
    }
    causes
}

fn validate_external_name(service: &Value, causes: &mut Vec<Cause>) {
    let name = object::text(service, "/spec/externalName");
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        causes.push(Cause::required("spec.externalName", ""));
    } else if let Some(why) = names::subdomain(name) {
        causes.push(Cause::invalid("spec.externalName", &json!(name), why));
    }
    if !object::list(service, "/spec/clusterIPs").is_empty() {
        causes.push(Cause::forbidden(
            "spec.clusterIPs",
            "may not be set for ExternalName services",
        ));
    }
}

fn validate_ports(service: &Value, ports: &[Value], causes: &mut Vec<Cause>) {
    let mut names = HashSet::new();
    let mut used = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let name = object::text(port, "/name");
        let protocol = object::text(port, "/protocol");
        if name.is_empty() {
            if ports.len() > 1 {
                causes.push(Cause::required(format!("{path}.name"), ""));
            }
        } else if let Some(why) = names::label(name) {
            causes.push(Cause::invalid(format!("{path}.name"), &json!(name), why));
        } else if !names.insert(name) {
            causes.push(Cause::duplicate(format!("{path}.name"), name));
        }
        let number = port.get("port").and_then(Value::as_i64).unwrap_or(0);
        validate_number(number, format!("{path}.port"), causes);
        if !PROTOCOLS.contains(&protocol) {
            causes.push(Cause::unsupported(
                format!("{path}.protocol"),
                protocol,
                PROTOCOLS,
            ));
        }
        if !used.insert((protocol, number)) {
            causes.push(Cause::duplicate_shown(
                path.clone(),
                &format!("{{{protocol} {number}}}"),
            ));
        }
        match &port["targetPort"] {
            Value::Number(target) => {
                let target = target.as_i64().unwrap_or(0);
                validate_number(target, format!("{path}.targetPort"), causes);
            }
            target => {
                for why in names::port_name(target.as_str().unwrap_or("")) {
                    causes.push(Cause::invalid(format!("{path}.targetPort"), target, why));
                }
            }
        }
        let on_nodes = port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0;
        if on_nodes
            && !matches!(
                object::text(service, "/spec/type"),
                "NodePort" | "LoadBalancer"
            )
        {
            causes.push(Cause::forbidden(
                format!("{path}.nodePort"),
                "may not be used when `type` is 'ClusterIP'",
            ));
        }
    }
}

fn validate_number(number: i64, path: String, causes: &mut Vec<Cause>) {
    if !(1..=65535).contains(&number) {
        causes.push(Cause::invalid(
            path,
            &json!(number),
            "must be between 1 and 65535, inclusive",
        ));
    }
}

/// The service range is an IPv4 one.
fn validate_families(service: &Value, causes: &mut Vec<Cause>) {
    for (index, family) in object::list(service, "/spec/ipFamilies").iter().enumerate() {
        let path = format!("spec.ipFamilies[{index}]");
        match family.as_str() {
            Some("IPv4") => {}
            Some("IPv6") => causes.push(Cause::invalid(
                path,
                family,
                "not configured on this cluster",
            )),
            _ => causes.push(Cause::unsupported(
                path,
                family.as_str().unwrap_or(""),
                &["IPv4", "IPv6"],
            )),
        }
    }
    let policy = object::text(service, "/spec/ipFamilyPolicy");
    let policies = &["PreferDualStack", "RequireDualStack", "SingleStack"];
    if policy == "RequireDualStack" {
        causes.push(Cause::invalid(
            "spec.ipFamilyPolicy",
            &json!(policy),
            "Cluster is not configured for dual-stack services",
        ));
    } else if !policy.is_empty() && !policies.contains(&policy) {
        causes.push(Cause::unsupported("spec.ipFamilyPolicy", policy, policies));
    }
}

fn validate_addresses(service: &Value, causes: &mut Vec<Cause>) {
    const NOT_AN_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    let all = object::list(service, "/spec/clusterIPs");
    for (index, address) in all.iter().enumerate() {
        let text = address.as_str().unwrap_or("");
        if text != "None" && text.parse::<IpAddr>().is_err() {
            causes.push(Cause::invalid(
                format!("spec.clusterIPs[{index}]"),
                address,
                NOT_AN_ADDRESS,
            ));
        }
    }
    let first = all.first().and_then(Value::as_str).unwrap_or("");
    let single = object::text(service, "/spec/clusterIP");
    if service::has_cluster_ip(service) && first != single {
        causes.push(Cause::invalid(
            "spec.clusterIPs",
            &json!(all),
            "first value must match `clusterIP`",
        ));
    }
    if all.len() > 1 {
        causes.push(Cause::invalid(
            "spec.clusterIPs",
            &json!(all),
            "may only hold one address where the cluster has one family of them",
        ));
    }
    for (index, address) in object::list(service, "/spec/externalIPs")
        .iter()
        .enumerate()
    {
        if address.as_str().unwrap_or("").parse::<IpAddr>().is_err() {
            causes.push(Cause::invalid(
                format!("spec.externalIPs[{index}]"),
                address,
                NOT_AN_ADDRESS,
            ));
        }
    }
}

fn validate_update(service: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let had = object::text(old, "/spec/clusterIP");
    let has = object::text(service, "/spec/clusterIP");
    let both = service::has_cluster_ip(service) && service::has_cluster_ip(old);
    if both && !had.is_empty() && had != has {
        let shown = object::list(service, "/spec/clusterIPs")
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        causes.push(Cause::invalid_shown(
            "spec.clusterIPs[0]",
            &format!("[]string{{{shown}}}"),
            "may not change once set",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Value {
        let mut service = json!({"metadata": {"name": "web"}, "spec": spec});
        (service::SERVICES.strategy.default)(&mut service);
        service
    }

    fn problems(spec: Value) -> Vec<String> {
        validate(&service(spec), None)
            .into_iter()
            .map(|cause| format!("{}: {}", cause.field, cause.detail))
            .collect()
    }

    #[test]
    fn problems_are_worded_as_in_kubernetes() {
        assert_eq!(problems(json!({})), ["spec.ports: Required value"]);
        assert_eq!(problems(json!({"clusterIP": "None"})), [""; 0]);
        assert_eq!(
            problems(json!({"type": "Magic", "ports": [{"port": 80}]})),
            [
                "spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", \
              \"ExternalName\", \"LoadBalancer\", \"NodePort\""
            ]
        );
        assert_eq!(
            problems(json!({"ports": [{"port": 80}, {"port": 0, "name": "a"}]})),
            [
                "spec.ports[0].name: Required value",
                "spec.ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[1].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            ]
        );
        assert_eq!(
            problems(json!({"type": "ExternalName"})),
            ["spec.externalName: Required value"]
        );
    }

    #[test]
    fn an_address_stays() {
        let old = service(json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}));
        let new = service(json!({"clusterIP": "10.96.0.2", "ports": [{"port": 80}]}));
        assert_eq!(
            validate(&new, Some(&old))[0].detail,
            "Invalid value: []string{\"10.96.0.2\"}: may not change once set"
        );
        assert_eq!(validate(&old, Some(&old)), []);
    }
}
