//! Aggregated discovery: every group with every resource in one answer (KEP-3352), made of the
//! lists that other clients ask for one by one.

use serde_json::{Value, json};

use super::{groups, resources};

/// `root` is `api` for the core group, `apis` for all others.
pub fn list(root: &str, version: &str) -> Value {
    let items: Vec<Value> = match root {
        "api" => vec![group("", "v1")],
        _ => groups()
            .into_iter()
            .map(|(name, of)| group(name, of))
            .collect(),
    };
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn group(name: &str, version: &str) -> Value {
    let list = resources(name, version).unwrap_or_default();
    let mut found: Vec<Value> = Vec::new();
    for entry in list["resources"].as_array().into_iter().flatten() {
        let whole = entry["name"].as_str().unwrap_or_default();
        let of = |key: &str, default: &str| entry.get(key).cloned().unwrap_or(default.into());
        let kind = json!({
            "group": of("group", name), "version": of("version", version), "kind": entry["kind"],
        });
        match (whole.split_once('/'), found.last_mut()) {
            // A resource's parts stand behind it.
            (Some((_, part)), Some(resource)) => {
                let part =
                    json!({"subresource": part, "responseKind": kind, "verbs": entry["verbs"]});
                match resource["subresources"].as_array_mut() {
                    Some(parts) => parts.push(part),
                    None => resource["subresources"] = json!([part]),
                }
            }
            _ => {
                let mut resource = json!({
                    "resource": whole,
                    "responseKind": kind,
                    "scope": if entry["namespaced"] == true { "Namespaced" } else { "Cluster" },
                    "singularResource": entry["singularName"],
                    "verbs": entry["verbs"],
                });
                for key in ["shortNames", "categories"] {
                    if let Some(names) = entry.get(key) {
                        resource[key] = names.clone();
                    }
                }
                found.push(resource);
            }
        }
    }
    let mut metadata = json!({"creationTimestamp": null});
    if !name.is_empty() {
        metadata["name"] = name.into();
    }
    json!({
        "metadata": metadata,
        "versions": [{"version": version, "resources": found, "freshness": "Current"}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_one_answer() {
        let core = list("api", "v2");
        let resources = core["items"][0]["versions"][0]["resources"].as_array();
        let pods = resources
            .unwrap()
            .iter()
            .find(|one| one["resource"] == "pods")
            .unwrap();
        assert_eq!(
            (&pods["scope"], &pods["shortNames"]),
            (&json!("Namespaced"), &json!(["po"]))
        );
        let eviction = pods["subresources"].as_array().unwrap().iter();
        let eviction = eviction
            .clone()
            .find(|one| one["subresource"] == "eviction")
            .unwrap();
        let kind = json!({"group": "policy", "version": "v1", "kind": "Eviction"});
        assert_eq!(eviction["responseKind"], kind);
        let others = list("apis", "v2");
        let names: Vec<_> = others["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["metadata"]["name"])
            .collect();
        assert!(
            names.contains(&&json!("apps")) && names.contains(&&json!("events.k8s.io")),
            "{names:?}"
        );
    }
}
