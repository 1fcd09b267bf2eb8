//! The paths of a resource: its verbs, and which parameters and bodies they understand.

use serde_json::{Map, Value, json};

use super::root;
use crate::server::resource::Resource;

const OBJECT: &[&str] = &["application/json"];
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// The paths of the collection and of one object. `schema` is the name of the object's.
pub fn of(resource: &Resource, schema: Option<&str>) -> [(String, Value); 2] {
    let scope = if resource.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let collection = format!("/{}/{scope}{}", root(resource), resource.plural);
    let object = format!("{collection}/{{name}}");
    let body = match schema {
        Some(name) => json!({"$ref": format!("#/components/schemas/{name}")}),
        None => json!({"type": "object"}),
    };
    let any = json!({"type": "object"});
    [
        (
            collection,
            json!({
                "get": read(resource, "list"),
                "post": write(resource, "post", OBJECT, &body),
            }),
        ),
        (
            object,
            json!({
                "get": read(resource, "get"),
                "put": write(resource, "put", OBJECT, &body),
                "patch": write(resource, "patch", PATCHES, &any),
                "delete": write(resource, "delete", OBJECT, &any),
            }),
        ),
    ]
}

fn read(resource: &Resource, action: &str) -> Value {
    json!({
        "operationId": format!("{action}{}{}", resource.version, resource.kind),
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind(resource),
    })
}

fn write(resource: &Resource, action: &str, media_types: &[&str], body: &Value) -> Value {
    let parameter = |name: &str, of: &str| json!({"name": name, "in": "query", "schema": {"type": of, "uniqueItems": true}});
    let mut parameters = vec![parameter("dryRun", "string")];
    if action != "delete" {
        parameters.push(parameter("fieldManager", "string"));
        parameters.push(parameter("fieldValidation", "string"));
    }
    if action == "patch" {
        parameters.push(parameter("force", "boolean"));
    }
    let content: Map<String, Value> = media_types
        .iter()
        .map(|media_type| ((*media_type).to_owned(), json!({"schema": body})))
        .collect();
    json!({
        "operationId": format!("{action}{}{}", resource.version, resource.kind),
        "parameters": parameters,
        "requestBody": {"content": content, "required": action != "delete"},
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind(resource),
    })
}

fn kind(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}
