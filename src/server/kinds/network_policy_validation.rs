//! What a network policy must be (`pkg/apis/networking/validation`).

use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use super::{names, placement_validation};
use crate::server::object;
use crate::server::status::Cause;

const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];
const TYPES: &[&str] = &["Ingress", "Egress"];
const NO_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

pub fn validate(policy: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let selector = &policy["spec"]["podSelector"];
    placement_validation::label_selector(selector, "spec.podSelector", &mut causes);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let rules = object::list(policy, &format!("/spec/{direction}")).iter();
        for (index, rule) in rules.enumerate() {
            let path = format!("spec.{direction}[{index}]");
            for (index, port) in object::list(rule, "/ports").iter().enumerate() {
                validate_port(port, &format!("{path}.ports[{index}]"), &mut causes);
            }
            for (index, peer) in object::list(rule, &format!("/{peers}")).iter().enumerate() {
                validate_peer(peer, &format!("{path}.{peers}[{index}]"), &mut causes);
            }
        }
    }
    validate_types(object::list(policy, "/spec/policyTypes"), &mut causes);
    causes
}

fn validate_types(types: &[Value], causes: &mut Vec<Cause>) {
    const PATH: &str = "spec.policyTypes";
    if types.len() > TYPES.len() {
        let shown: Vec<String> = types.iter().map(Value::to_string).collect();
        let shown = format!("[]networking.PolicyType{{{}}}", shown.join(", "));
        let why = "may not specify more than two policyTypes";
        causes.push(Cause::invalid_shown(PATH, &shown, why));
        return;
    }
    for (index, kind) in types.iter().enumerate() {
        let kind = kind.as_str().unwrap_or("");
        if !TYPES.contains(&kind) {
            let path = format!("{PATH}[{index}]");
            causes.push(Cause::unsupported(path, kind, TYPES));
        }
    }
}

fn validate_port(port: &Value, path: &str, causes: &mut Vec<Cause>) {
    let protocol = object::text(port, "/protocol");
    if !PROTOCOLS.contains(&protocol) {
        let path = format!("{path}.protocol");
        causes.push(Cause::unsupported(path, protocol, PROTOCOLS));
    }
    let first = port.get("port").filter(|first| !first.is_null());
    let number = first.and_then(Value::as_i64);
    if let Some(number) = number {
        validate_number(number, format!("{path}.port"), causes);
    }
    if let Some(last) = port.get("endPort").and_then(Value::as_i64) {
        let path = format!("{path}.endPort");
        let why = match (first, number) {
            (None, _) => Some("may not be specified when `port` is not specified"),
            (_, None) => Some("may not be specified when `port` is non-numeric"),
            (_, Some(number)) if last < number => Some("must be greater than or equal to `port`"),
            _ => None,
        };
        if let Some(why) = why {
            causes.push(Cause::invalid(&path, &json!(last), why));
        }
        if number.is_some() {
            validate_number(last, path, causes);
        }
    }
    if let (Some(name), None) = (first, number) {
        for why in names::port_name(name.as_str().unwrap_or("")) {
            causes.push(Cause::invalid(format!("{path}.port"), name, why));
        }
    }
}

fn validate_number(number: i64, path: String, causes: &mut Vec<Cause>) {
    if !(1..=65535).contains(&number) {
        let why = "must be between 1 and 65535, inclusive";
        causes.push(Cause::invalid(path, &json!(number), why));
    }
}

fn validate_peer(peer: &Value, path: &str, causes: &mut Vec<Cause>) {
    let given = |field: &str| peer.get(field).filter(|value| !value.is_null());
    let mut selects = false;
    for field in ["podSelector", "namespaceSelector"] {
        if let Some(selector) = given(field) {
            selects = true;
            placement_validation::label_selector(selector, &format!("{path}.{field}"), causes);
        }
    }
    let block = given("ipBlock");
    if let Some(block) = block {
        validate_block(block, &format!("{path}.ipBlock"), causes);
    }
    match (block, selects) {
        (Some(_), true) => {
            let why = "may not specify both ipBlock and another peer";
            causes.push(Cause::forbidden(path, why));
        }
        (None, false) => causes.push(Cause::required(path, "must specify a peer")),
        _ => {}
    }
}

fn validate_block(block: &Value, path: &str, causes: &mut Vec<Cause>) {
    let path_of_cidr = format!("{path}.cidr");
    let cidr = object::text(block, "/cidr");
    if cidr.is_empty() {
        causes.push(Cause::required(path_of_cidr, ""));
        return;
    }
    let Some(whole) = network(cidr) else {
        causes.push(Cause::invalid(path_of_cidr, &json!(cidr), NO_CIDR));
        return;
    };
    for (index, except) in object::list(block, "/except").iter().enumerate() {
        let why = match network(except.as_str().unwrap_or("")) {
            None => NO_CIDR,
            Some(part) if !is_strict_part(part, whole) => "must be a strict subset of `cidr`",
            Some(_) => continue,
        };
        causes.push(Cause::invalid(
            format!("{path}.except[{index}]"),
            except,
            why,
        ));
    }
}

/// An address with the length of its prefix.
fn network(text: &str) -> Option<IpNetwork> {
    let (_, prefix) = text.split_once('/')?;
    let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn is_strict_part(part: IpNetwork, whole: IpNetwork) -> bool {
    whole.contains(part.ip()) && whole.prefix() < part.prefix()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::kinds::network_policy::NETWORK_POLICIES;

    fn problems(spec: Value) -> Vec<String> {
        let mut policy = json!({"metadata": {"name": "x"}, "spec": spec});
        (NETWORK_POLICIES.strategy.default)(&mut policy);
        let causes = validate(&policy, None).into_iter();
        causes
            .map(|cause| format!("{}: {}", cause.field, cause.detail))
            .collect()
    }

    #[test]
    fn ports_are_checked_as_kubernetes_checks_them() {
        let ports = json!([
            {"port": 0}, {"port": 80, "endPort": 70000}, {"port": 80, "endPort": 79},
            {"endPort": 80}, {"port": "web", "endPort": 80}, {"port": "", "protocol": "ICMP"},
            {"port": 80, "endPort": 80, "protocol": "SCTP"}, {"port": "web"}, {},
        ]);
        let path = "spec.ingress[0].ports";
        let range = "must be between 1 and 65535, inclusive";
        assert_eq!(
            problems(json!({"ingress": [{"ports": ports}]})),
            [
                format!("{path}[0].port: Invalid value: 0: {range}"),
                format!("{path}[1].endPort: Invalid value: 70000: {range}"),
                format!(
                    "{path}[2].endPort: Invalid value: 79: must be greater than or equal to `port`"
                ),
                format!(
                    "{path}[3].endPort: Invalid value: 80: may not be specified when `port` is not specified"
                ),
                format!(
                    "{path}[4].endPort: Invalid value: 80: may not be specified when `port` is non-numeric"
                ),
                format!(
                    "{path}[5].protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", \"UDP\", \
                     \"SCTP\""
                ),
                format!(
                    "{path}[5].port: Invalid value: \"\": must contain only alpha-numeric characters (a-z, \
                     0-9), and hyphens (-)"
                ),
                format!(
                    "{path}[5].port: Invalid value: \"\": must contain at least one letter (a-z)"
                ),
            ]
        );
    }

    #[test]
    fn peers_are_checked_as_kubernetes_checks_them() {
        let to = json!([
            {}, {"ipBlock": {"cidr": ""}}, {"ipBlock": {"cidr": "10.0.0.0/255.0.0.0"}},
            {"ipBlock": {"cidr": "10.0.0.0"}, "podSelector": {}},
            {"ipBlock": {"cidr": "10.0.0.0/8",
                         "except": ["10.1.0.0/16", "10.0.0.0/8", "11.0.0.0/16", "fd00::/16", "x"]}},
            {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
        ]);
        let path = "spec.egress[0].to";
        let part = "must be a strict subset of `cidr`";
        assert_eq!(
            problems(json!({"egress": [{"to": to}]})),
            [
                format!("{path}[0]: Required value: must specify a peer"),
                format!("{path}[1].ipBlock.cidr: Required value"),
                format!("{path}[2].ipBlock.cidr: Invalid value: \"10.0.0.0/255.0.0.0\": {NO_CIDR}"),
                format!("{path}[3].ipBlock.cidr: Invalid value: \"10.0.0.0\": {NO_CIDR}"),
                format!("{path}[3]: Forbidden: may not specify both ipBlock and another peer"),
                format!("{path}[4].ipBlock.except[1]: Invalid value: \"10.0.0.0/8\": {part}"),
                format!("{path}[4].ipBlock.except[2]: Invalid value: \"11.0.0.0/16\": {part}"),
                format!("{path}[4].ipBlock.except[3]: Invalid value: \"fd00::/16\": {part}"),
                format!("{path}[4].ipBlock.except[4]: Invalid value: \"x\": {NO_CIDR}"),
                format!(
                    "{path}[5].namespaceSelector.matchExpressions[0].values: Required value: must be \
                     specified when `operator` is 'In' or 'NotIn'"
                ),
            ]
        );
    }

    #[test]
    fn types_and_selector() {
        assert_eq!(
            problems(json!({"podSelector": {"matchLabels": {"-": "a"}}, "policyTypes": ["Both"]})),
            [
                format!(
                    "spec.podSelector.matchLabels: Invalid value: \"-\": {}",
                    names::qualified_name("-").unwrap()
                ),
                "spec.policyTypes[0]: Unsupported value: \"Both\": supported values: \"Ingress\", \
                 \"Egress\""
                    .to_owned(),
            ]
        );
        assert_eq!(
            problems(json!({"policyTypes": ["Ingress", "Egress", "Both"]})),
            [
                "spec.policyTypes: Invalid value: []networking.PolicyType{\"Ingress\", \"Egress\", \
                 \"Both\"}: may not specify more than two policyTypes"
            ]
        );
    }
}
