//! OpenAPI v2 in JSON, made of what version 3 says.

use serde_json::{Map, Value, json};

use crate::server::openapi::kinds::Kind;
use crate::server::openapi::{paths, schemas};

const REFERENCE: &str = "$ref";

pub fn document() -> Value {
    let kinds: Vec<Kind> = Kind::all().collect();
    let schemas = schemas::of(&kinds);
    let mut paths: Map<String, Value> = kinds
        .iter()
        .flat_map(|kind| paths::of(kind, schemas.name_of(kind)))
        .collect();
    for path in paths.values_mut() {
        for operation in path.as_object_mut().into_iter().flat_map(Map::values_mut) {
            older_operation(operation);
        }
    }
    let mut definitions = schemas.definitions;
    definitions.values_mut().for_each(older_schema);
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.33.0+podnet"},
        "paths": paths,
        "definitions": definitions,
    })
}

/// The body is one of the parameters, and what a parameter is stands beside its name.
fn older_operation(operation: &mut Value) {
    let Some(operation) = operation.as_object_mut() else {
        return;
    };
    let mut parameters: Vec<Value> = Vec::new();
    if let Some(Value::Array(given)) = operation.shift_remove("parameters") {
        for mut parameter in given {
            if let Value::Object(schema) = parameter["schema"].take() {
                let parameter = parameter.as_object_mut().into_iter();
                parameter.for_each(|parameter| {
                    parameter.shift_remove("schema");
                    parameter.extend(schema.clone());
                });
            }
            parameters.push(parameter);
        }
    }
    if let Some(mut body) = operation.shift_remove("requestBody") {
        let content = body["content"].as_object_mut();
        let (types, schemas): (Vec<String>, Vec<Value>) = content
            .into_iter()
            .flat_map(std::mem::take)
            .map(|(media_type, mut of)| (media_type, of["schema"].take()))
            .unzip();
        let mut schema = schemas.into_iter().next().unwrap_or_default();
        older_schema(&mut schema);
        parameters.push(json!({
            "name": "body", "in": "body", "required": body["required"], "schema": schema,
        }));
        operation.insert("consumes".into(), types.into());
    }
    operation.insert("produces".into(), json!(["application/json"]));
    operation.insert("parameters".into(), parameters.into());
}

/// References lead elsewhere, and a description may stand beside one instead of around it.
fn older_schema(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let wrapped = map
                .get_mut("allOf")
                .and_then(|all| all.get_mut(0))
                .map(Value::take);
            if let Some(Value::Object(wrapped)) = wrapped {
                map.shift_remove("allOf");
                map.extend(wrapped);
            }
            map.shift_remove("nullable");
            if map.get("x-kubernetes-int-or-string").is_some() {
                map.shift_remove("anyOf");
                map.insert("type".into(), "string".into());
                map.insert("format".into(), "int-or-string".into());
            }
            if let Some(Value::String(to)) = map.get_mut(REFERENCE) {
                *to = to.replace("#/components/schemas/", "#/definitions/");
            }
            map.values_mut().for_each(older_schema);
        }
        Value::Array(list) => list.iter_mut().for_each(older_schema),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_document_has_what_the_newer_has() {
        let document = document();
        let text = document.to_string();
        assert!(!text.contains("components/schemas") && !text.contains("allOf"));
        let pod = &document["definitions"]["io.k8s.api.core.v1.Pod"];
        let to = "#/definitions/io.k8s.api.core.v1.PodSpec";
        assert_eq!(pod["properties"]["spec"][REFERENCE], to);
        let create = &document["paths"]["/api/v1/namespaces/{namespace}/pods"]["post"];
        let parameters = create["parameters"].as_array().unwrap();
        let dry_run = parameters
            .iter()
            .find(|one| one["name"] == "dryRun")
            .unwrap();
        assert_eq!(
            (&dry_run["in"], &dry_run["type"]),
            (&json!("query"), &json!("string"))
        );
        let body = parameters.iter().find(|one| one["in"] == "body").unwrap();
        assert_eq!(
            body["schema"][REFERENCE],
            "#/definitions/io.k8s.api.core.v1.Pod"
        );
        assert_eq!(create["consumes"], json!(["application/json"]));
    }
}
