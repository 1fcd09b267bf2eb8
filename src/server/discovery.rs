//! What there is: the documents by which clients find resources.

mod aggregated;

use std::collections::BTreeMap;

use hyper::body::Bytes;
use serde_json::{Value, json};

use super::kinds::event;
use super::kinds::review::{REVIEWS, Review};
use super::openapi;
use super::request::{ResourceRequest, Verb};
use super::resource::{ALL, Resource, Subresource};
use crate::model::architecture;

/// In which form a client wants a document, where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    /// All groups with their resources at once (KEP-3352), in this version of the format.
    Aggregated(&'static str),
    Protobuf,
}

pub enum Document {
    Json(Value),
    /// With the version of its format.
    Aggregated(Value, &'static str),
    /// JSON that is kept as it is sent.
    Made(Bytes),
    /// OpenAPI v2 in protobuf.
    OpenApi(Bytes),
}

/// The document at a path that is no resource's.
pub fn answer(path: &str, form: Form) -> Option<Document> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if let ([root @ ("api" | "apis")], Form::Aggregated(version)) = (parts.as_slice(), form) {
        return Some(Document::Aggregated(
            aggregated::list(root, version),
            version,
        ));
    }
    let document = match parts.as_slice() {
        [] => {
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]})
        }
        ["version"] => version(),
        ["api"] => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
        ["apis"] => json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": groups().into_keys().map(group).collect::<Vec<_>>(),
        }),
        ["apis", name] if groups().contains_key(name) => {
            let mut group = group(name);
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            group
        }
        ["openapi", "v2"] if form == Form::Protobuf => {
            return Some(Document::OpenApi(openapi::v2::document()));
        }
        ["openapi", "v2"] => openapi::v2::json(),
        ["openapi", "v3", path @ ..] => return openapi::answer(path).map(Document::Made),
        ["api", version] => resources("", version)?,
        ["apis", group, version] => resources(group, version)?,
        _ => return None,
    };
    Some(Document::Json(document))
}

/// Whether the kinds that users define are asked for: kubectl does, of a kind that it does not find, before
/// it says so. There are none, and so they are no resource.
pub fn lists_definitions(request: &ResourceRequest) -> bool {
    let ResourceRequest {
        group,
        version,
        resource,
        ..
    } = request;
    request.verb == Verb::List
        && (group.as_str(), version.as_str(), resource.as_str())
            == ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

pub fn no_definitions() -> Value {
    json!({
        "kind": "CustomResourceDefinitionList",
        "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"resourceVersion": "1"},
        "items": [],
    })
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "33",
        "gitVersion": "v1.33.0+podnet",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", architecture()),
    })
}

/// The named groups with their versions; the core group is not among them.
fn groups() -> BTreeMap<&'static str, &'static str> {
    ALL.iter()
        .filter(|resource| !resource.group.is_empty())
        .map(|resource| (resource.group, resource.version))
        .chain(REVIEWS.iter().map(|review| (review.group, "v1")))
        .chain([(event::GROUP, "v1")])
        .collect()
}

fn group(name: &str) -> Value {
    let version = groups().get(name).copied().unwrap_or("v1");
    let version = json!({"groupVersion": format!("{name}/{version}"), "version": version});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn resources(group: &str, version: &str) -> Option<Value> {
    let mut rows: Vec<&Resource> = ALL
        .iter()
        .copied()
        .filter(|resource| resource.group == group && resource.version == version)
        .collect();
    let reviews: Vec<Value> = REVIEWS
        .iter()
        .filter(|review| review.group == group && version == "v1")
        .map(review_entry)
        .collect();
    let newer = (group, version) == (event::GROUP, "v1");
    if newer {
        rows.push(&event::EVENTS);
    }
    if rows.is_empty() && reviews.is_empty() {
        return None;
    }
    let group_version = match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    let resources: Vec<Value> = rows
        .into_iter()
        .flat_map(|resource| {
            let subresources = resource
                .subresources
                .iter()
                .map(|subresource| subresource_entry(resource, *subresource));
            std::iter::once(resource_entry(resource)).chain(subresources)
        })
        .chain(reviews)
        .collect();
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }))
}

fn review_entry(review: &Review) -> Value {
    json!({
        "name": review.plural,
        "singularName": review.kind.to_lowercase(),
        "namespaced": false,
        "kind": review.kind,
        "verbs": ["create"],
    })
}

fn resource_entry(resource: &Resource) -> Value {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": verbs(resource),
    });
    for (key, values) in [
        ("shortNames", resource.short_names),
        ("categories", resource.categories),
    ] {
        if !values.is_empty() {
            entry[key] = json!(values);
        }
    }
    entry
}

fn verbs(resource: &Resource) -> Vec<&'static str> {
    let mut verbs = vec!["create", "delete"];
    if resource.deletes_collections() {
        verbs.push("deletecollection");
    }
    verbs.extend(["get", "list", "patch", "update", "watch"]);
    verbs
}

fn subresource_entry(resource: &Resource, subresource: Subresource) -> Value {
    let (kind, verbs) = match subresource {
        Subresource::Status => (resource.kind, json!(["get", "patch", "update"])),
        Subresource::Finalize => (resource.kind, json!(["update"])),
        Subresource::Binding => ("Binding", json!(["create"])),
        Subresource::Scale => ("Scale", json!(["get", "patch", "update"])),
        Subresource::Eviction => ("Eviction", json!(["create"])),
        Subresource::Log => (resource.kind, json!(["get"])),
        Subresource::Exec => ("PodExecOptions", json!(["create", "get"])),
        Subresource::Attach => ("PodAttachOptions", json!(["create", "get"])),
        Subresource::PortForward => ("PodPortForwardOptions", json!(["create", "get"])),
    };
    let mut entry = json!({
        "name": format!("{}/{}", resource.plural, subresource.name()),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": kind,
        "verbs": verbs,
    });
    // Of another group than its resource: clients find the type by this.
    let group = match subresource {
        Subresource::Scale => Some("autoscaling"),
        Subresource::Eviction => Some("policy"),
        _ => None,
    };
    if let Some(group) = group {
        entry["group"] = group.into();
        entry["version"] = "v1".into();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_is_discoverable() {
        for resource in ALL {
            let path = match resource.group {
                "" => format!("/api/{}", resource.version),
                group => format!("/apis/{group}/{}", resource.version),
            };
            let Some(Document::Json(list)) = answer(&path, Form::Json) else {
                panic!("nothing at {path}");
            };
            let names: Vec<&Value> = list["resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| &entry["name"])
                .collect();
            assert!(names.contains(&&json!(resource.plural)), "{names:?}");
        }
        assert!(answer("/apis/nobody/v1", Form::Json).is_none());
    }
}
