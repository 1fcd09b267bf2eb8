//! The downward API: what a pod can know of itself by a field's path.

use std::collections::BTreeMap;

use super::{ConfigError, NodeFacts, PodFacts};

/// The value at `path`; an absent label or annotation is empty.
///
/// # Errors
/// A path that stands for nothing.
pub fn value(pod: &PodFacts, node: &NodeFacts, path: &str) -> Result<String, ConfigError> {
    let metadata = &pod.pod.metadata;
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &metadata.labels,
            "metadata.annotations" => &metadata.annotations,
            _ => return Err(unknown(path)),
        };
        let found = map.as_ref().and_then(|map| map.get(key));
        return Ok(found.cloned().unwrap_or_default());
    }
    let of_host_network = pod.spec()?.host_network == Some(true);
    let addresses = match of_host_network {
        true => &node.addresses[..],
        false => pod.addresses,
    };
    let first =
        |list: &[std::net::IpAddr]| list.first().map(ToString::to_string).unwrap_or_default();
    let all = |list: &[std::net::IpAddr]| {
        let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
        texts.join(",")
    };
    Ok(match path {
        "metadata.name" => pod.name().to_owned(),
        "metadata.namespace" => pod.namespace().to_owned(),
        "metadata.uid" => metadata.uid.clone().unwrap_or_default(),
        "metadata.labels" => listed(metadata.labels.as_ref()),
        "metadata.annotations" => listed(metadata.annotations.as_ref()),
        "spec.nodeName" => node.name.clone(),
        "spec.serviceAccountName" => {
            let name = pod.spec()?.service_account_name.clone();
            name.unwrap_or_else(|| "default".to_owned())
        }
        "status.hostIP" => first(&node.addresses),
        "status.hostIPs" => all(&node.addresses),
        "status.podIP" => first(addresses),
        "status.podIPs" => all(addresses),
        _ => return Err(unknown(path)),
    })
}

/// `metadata.labels['app']` is `("metadata.labels", "app")`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, key))
}

/// As in a downwardAPI file: a line for each, the value quoted.
fn listed(map: Option<&BTreeMap<String, String>>) -> String {
    let pairs = map.into_iter().flatten();
    let lines: Vec<String> = pairs
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    lines.join("\n")
}

fn unknown(path: &str) -> ConfigError {
    ConfigError::Unsupported {
        object: "downward API".to_owned(),
        what: format!("field {path:?}"),
        instead: "use a field that Kubernetes' downward API has",
    }
}
