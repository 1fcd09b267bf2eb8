//! Tables of services and what leads to their pods.

use jiff::Timestamp;
use serde_json::Value;

use super::{Column, age, number, or_none};
use crate::server::object::{list, name, pairs, text};
use crate::server::selector::LabelSelector;

/// Kubernetes shows so many addresses or ports and says how many more there are.
const SHOWN: usize = 3;

pub const SERVICE_COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Type"),
    Column::text("Cluster-IP"),
    Column::text("External-IP"),
    Column::text("Port(s)"),
    Column::AGE,
    Column::wide("Selector"),
];

pub fn service_row(service: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(service).into(),
        text(service, "/spec/type").into(),
        or_none(text(service, "/spec/clusterIP")),
        or_none(&external_addresses(service)),
        or_none(&ports(service)),
        age(service, "/metadata/creationTimestamp", now),
        or_none(&joined(pairs(service, "/spec/selector"))),
    ]
}

fn joined<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    pairs.join(",")
}

/// `getServiceExternalIP` of Kubernetes' printers.
fn external_addresses(service: &Value) -> String {
    let given: Vec<&str> = list(service, "/spec/externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    match text(service, "/spec/type") {
        "ExternalName" => text(service, "/spec/externalName").into(),
        "LoadBalancer" => {
            let mut all: Vec<&str> = list(service, "/status/loadBalancer/ingress")
                .iter()
                .map(|ingress| match text(ingress, "/ip") {
                    "" => text(ingress, "/hostname"),
                    ip => ip,
                })
                .collect();
            all.extend(given);
            if all.is_empty() {
                "<pending>".into()
            } else {
                all.join(",")
            }
        }
        _ => given.join(","),
    }
}

fn ports(service: &Value) -> String {
    let ports = list(service, "/spec/ports").iter().map(|port| {
        let number = |field: &str| port.get(field).and_then(Value::as_i64).unwrap_or(0);
        let protocol = text(port, "/protocol");
        match number("nodePort") {
            0 => format!("{}/{protocol}", number("port")),
            node_port => format!("{}:{node_port}/{protocol}", number("port")),
        }
    });
    ports.collect::<Vec<_>>().join(",")
}

pub const ENDPOINTS_COLUMNS: &[Column] = &[Column::NAME, Column::text("Endpoints"), Column::AGE];

pub fn endpoints_row(endpoints: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in list(endpoints, "/subsets") {
        let addresses = list(subset, "/addresses");
        for port in list(subset, "/ports") {
            let port = port.get("port").and_then(Value::as_i64).unwrap_or(0);
            all.extend(addresses.iter().map(|address| match text(address, "/ip") {
                ip if ip.contains(':') => format!("[{ip}]:{port}"),
                ip => format!("{ip}:{port}"),
            }));
        }
        if list(subset, "/ports").is_empty() {
            all.extend(addresses.iter().map(|address| text(address, "/ip").into()));
        }
    }
    vec![
        name(endpoints).into(),
        or_none(&shortened(&all)),
        age(endpoints, "/metadata/creationTimestamp", now),
    ]
}

/// The first few and how many more there are.
fn shortened(all: &[String]) -> String {
    let shown = all
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(",");
    match all.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

pub const ENDPOINT_SLICE_COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("AddressType"),
    Column::text("Ports"),
    Column::text("Endpoints"),
    Column::AGE,
];

pub fn endpoint_slice_row(slice: &Value, now: Timestamp) -> Vec<Value> {
    let unset = |shown: String| match shown.as_str() {
        "" => Value::from("<unset>"),
        _ => shown.into(),
    };
    let ports: Vec<String> = list(slice, "/ports")
        .iter()
        .map(|port| match port.get("port").and_then(Value::as_i64) {
            Some(port) => port.to_string(),
            None => "*".into(),
        })
        .collect();
    let addresses: Vec<String> = list(slice, "/endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    vec![
        name(slice).into(),
        text(slice, "/addressType").into(),
        unset(shortened(&ports)),
        unset(shortened(&addresses)),
        age(slice, "/metadata/creationTimestamp", now),
    ]
}

pub const NETWORK_POLICY_COLUMNS: &[Column] =
    &[Column::NAME, Column::text("Pod-Selector"), Column::AGE];

pub fn network_policy_row(policy: &Value, now: Timestamp) -> Vec<Value> {
    let selector = LabelSelector::of(&policy["spec"]["podSelector"]).unwrap_or_default();
    vec![
        name(policy).into(),
        or_none(&selector.to_string()),
        age(policy, "/metadata/creationTimestamp", now),
    ]
}

pub const SERVICE_ACCOUNT_COLUMNS: &[Column] =
    &[Column::NAME, Column::number("Secrets"), Column::AGE];

pub fn service_account_row(account: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(account).into(),
        list(account, "/secrets").len().into(),
        age(account, "/metadata/creationTimestamp", now),
    ]
}

pub const REVISION_COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Controller"),
    Column::number("Revision"),
    Column::AGE,
];

pub fn revision_row(revision: &Value, now: Timestamp) -> Vec<Value> {
    let controller = list(revision, "/metadata/ownerReferences")
        .iter()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let controller = controller.map_or(String::new(), |owner| {
        let kind = text(owner, "/kind").to_lowercase();
        let group = text(owner, "/apiVersion").split_once('/');
        match group {
            Some((group, _)) => format!("{kind}.{group}/{}", text(owner, "/name")),
            None => format!("{kind}/{}", text(owner, "/name")),
        }
    });
    vec![
        name(revision).into(),
        or_none(&controller),
        number(revision, "/revision"),
        age(revision, "/metadata/creationTimestamp", now),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_as_kubectl_shows_them() {
        let cells = |spec: Value| {
            let service = json!({"metadata": {"name": "web"}, "spec": spec});
            let row = service_row(&service, Timestamp::UNIX_EPOCH);
            [row[2].clone(), row[3].clone(), row[4].clone()]
        };
        let port = json!([{"port": 80, "nodePort": 30080, "protocol": "TCP"}]);
        assert_eq!(
            cells(json!({"type": "NodePort", "clusterIP": "10.96.0.9", "ports": port})),
            ["10.96.0.9", "<none>", "80:30080/TCP"]
        );
        assert_eq!(
            cells(json!({"type": "ExternalName", "externalName": "example.com"})),
            ["<none>", "example.com", "<none>"]
        );
        assert_eq!(
            cells(json!({"type": "LoadBalancer", "clusterIP": "10.96.0.9"})),
            ["10.96.0.9", "<pending>", "<none>"]
        );
    }

    #[test]
    fn many_endpoints_are_counted() {
        let addresses: Vec<Value> = (1..6)
            .map(|n| json!({"ip": format!("10.0.0.{n}")}))
            .collect();
        let endpoints = json!({"subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]});
        assert_eq!(
            endpoints_row(&endpoints, Timestamp::UNIX_EPOCH)[1],
            "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."
        );
    }
}
