//! OpenAPI v3, as far as a client needs it before it writes.
//!
//! kubectl sends `fieldValidation` only to a server whose documents say that it is understood, and refuses
//! to create anything where it cannot ask. Schemas are not described: there is nothing here for
//! `explain`.

use serde_json::{Map, Value, json};

use super::resource::{ALL, Resource};

/// The document at a path below `/openapi/v3`; the index for an empty one.
pub fn answer(path: &[&str]) -> Option<Value> {
    match path {
        [] => Some(index()),
        ["api", version] => document("", version),
        ["apis", group, version] => document(group, version),
        _ => None,
    }
}

fn index() -> Value {
    let paths: Map<String, Value> = ALL
        .iter()
        .map(|resource| {
            let root = root(resource);
            let url = json!({"serverRelativeURL": format!("/openapi/v3/{root}")});
            (root, url)
        })
        .collect();
    json!({"paths": paths})
}

fn document(group: &str, version: &str) -> Option<Value> {
    let paths: Map<String, Value> = ALL
        .iter()
        .filter(|resource| resource.group == group && resource.version == version)
        .flat_map(|resource| paths(resource))
        .collect();
    (!paths.is_empty()).then(|| {
        json!({
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.33.0+podnet"},
            "paths": paths,
        })
    })
}

/// `api/v1`, `apis/coordination.k8s.io/v1`.
fn root(resource: &Resource) -> String {
    match resource.group {
        "" => format!("api/{}", resource.version),
        group => format!("apis/{group}/{}", resource.version),
    }
}

/// The paths of a resource's collection and of one object, with the verbs that write.
fn paths(resource: &Resource) -> [(String, Value); 2] {
    let scope = if resource.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let collection = format!("/{}/{scope}{}", root(resource), resource.plural);
    let object = format!("{collection}/{{name}}");
    [
        (
            collection,
            json!({"post": operation(resource, "post", &["application/json"])}),
        ),
        (
            object,
            json!({
                "put": operation(resource, "put", &["application/json"]),
                "patch": operation(
                    resource,
                    "patch",
                    &["application/json-patch+json", "application/merge-patch+json"],
                ),
            }),
        ),
    ]
}

fn operation(resource: &Resource, action: &str, media_types: &[&str]) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let content: Map<String, Value> = media_types
        .iter()
        .map(|media_type| {
            (
                (*media_type).to_owned(),
                json!({"schema": {"type": "object"}}),
            )
        })
        .collect();
    json!({
        "operationId": format!("{action}{}{}", resource.version, resource.kind),
        "parameters": [parameter("dryRun"), parameter("fieldValidation")],
        "requestBody": {"content": content, "required": true},
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": resource.group, "version": resource.version, "kind": resource.kind,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_leads_to_every_resource() {
        let index = answer(&[]).unwrap();
        for (root, _) in index["paths"].as_object().unwrap() {
            let path: Vec<&str> = root.split('/').collect();
            assert!(answer(&path).is_some(), "{root}");
        }
        let core = answer(&["api", "v1"]).unwrap();
        let patch = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Pod");
        assert!(answer(&["apis", "batch", "v1"]).is_none());
    }
}
