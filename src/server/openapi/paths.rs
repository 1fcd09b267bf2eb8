//! The paths of a kind: its verbs, and which parameters and bodies they understand.

use serde_json::{Map, Value, json};

use super::kinds::Kind;

const OBJECT: &[&str] = &["application/json"];
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// The paths of the collection and of one object, as far as there are any. `schema` is the name of the object's.
pub fn of(kind: &Kind, schema: Option<&str>) -> Vec<(String, Value)> {
    let scope = if kind.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let collection = format!("/{}/{scope}{}", kind.root(), kind.plural);
    let object = format!("{collection}/{{name}}");
    let body = match schema {
        Some(name) => json!({"$ref": format!("#/components/schemas/{name}")}),
        None => json!({"type": "object"}),
    };
    if !kind.kept {
        return vec![(
            collection,
            json!({"post": write(kind, "post", OBJECT, &body)}),
        )];
    }
    let any = json!({"type": "object"});
    vec![
        (
            collection,
            json!({
                "get": read(kind, "list"),
                "post": write(kind, "post", OBJECT, &body),
            }),
        ),
        (
            object,
            json!({
                "get": read(kind, "get"),
                "put": write(kind, "put", OBJECT, &body),
                "patch": write(kind, "patch", PATCHES, &any),
                "delete": write(kind, "delete", OBJECT, &any),
            }),
        ),
    ]
}

fn read(kind: &Kind, action: &str) -> Value {
    json!({
        "operationId": format!("{action}{}{}", kind.version, kind.name),
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind.spelled(),
    })
}

fn write(kind: &Kind, action: &str, media_types: &[&str], body: &Value) -> Value {
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
        "operationId": format!("{action}{}{}", kind.version, kind.name),
        "parameters": parameters,
        "requestBody": {"content": content, "required": action != "delete"},
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind.spelled(),
    })
}
