//! What a service must be, and what of it may change.

use std::collections::HashSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::{names, service_families};
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
    if cluster_ip == "None" && matches!(kind, "NodePort" | "LoadBalancer") {
        causes.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &json!(cluster_ip),
            &format!("may not be set to 'None' for {kind} services"),
        ));
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
    validate_affinity(service, affinity, &mut causes);
    service_families::validate(service, &mut causes);
    validate_external_ips(service, &mut causes);
    if let Some(old) = old {
        service_families::validate_update(service, old, &mut causes);
    }
    causes
}

/// How long a client stays with its pod.
fn validate_affinity(service: &Value, affinity: &str, causes: &mut Vec<Cause>) {
    let Some(config) = service.pointer("/spec/sessionAffinityConfig") else {
        return;
    };
    if affinity == "None" {
        causes.push(Cause::forbidden(
            "spec.sessionAffinityConfig",
            "must not be set when session affinity is None",
        ));
        return;
    }
    const DAY: i64 = 86_400;
    let seconds = config.pointer("/clientIP/timeoutSeconds");
    let seconds = seconds.and_then(Value::as_i64).unwrap_or(0);
    if !(1..=DAY).contains(&seconds) {
        causes.push(Cause::invalid(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            &json!(seconds),
            "must be greater than 0 and less than 86400",
        ));
    }
}

fn validate_external_name(service: &Value, causes: &mut Vec<Cause>) {
    let name = object::text(service, "/spec/externalName");
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        causes.push(Cause::required("spec.externalName", ""));
    } else if let Some(why) = names::subdomain(name) {
        causes.push(Cause::invalid("spec.externalName", &json!(name), why));
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

fn validate_external_ips(service: &Value, causes: &mut Vec<Cause>) {
    const NOT_AN_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::kinds::service::SERVICES;

    fn service(spec: Value) -> Value {
        let mut service = json!({"metadata": {"name": "web"}, "spec": spec});
        (SERVICES.strategy.default)(&mut service);
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
        let headless = json!({"type": "NodePort", "clusterIP": "None", "ports": [{"port": 80}]});
        assert_eq!(
            problems(headless),
            [
                "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort \
                 services"
            ]
        );
        let forgetful = json!({
            "sessionAffinity": "ClientIP", "ports": [{"port": 80}],
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}},
        });
        assert_eq!(
            problems(forgetful),
            [
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater \
                 than 0 and less than 86400"
            ]
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
