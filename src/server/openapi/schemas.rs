//! The schemas of a document: what schemars makes of the types, and how their lists merge.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::kinds::Kind;
use crate::server::schema::{Field, Merge, Type};

const PREFIX: &str = "#/components/schemas/";

pub struct Schemas {
    pub definitions: Map<String, Value>,
    /// The definition of each kind.
    names: BTreeMap<(&'static str, &'static str), String>,
}

impl Schemas {
    pub fn name_of(&self, kind: &Kind) -> Option<&str> {
        self.names.get(&(kind.group, kind.name)).map(String::as_str)
    }
}

pub fn of(kinds: &[Kind]) -> Schemas {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let mut names = BTreeMap::new();
    for kind in kinds {
        let schema = kind.generate().map(|generate| generate(&mut generator));
        let reference = schema.as_ref().and_then(|schema| schema.get("$ref"));
        let name = reference
            .and_then(Value::as_str)
            .and_then(|to| to.strip_prefix(PREFIX));
        if let Some(name) = name {
            names.insert((kind.group, kind.name), name.to_owned());
        }
    }
    let mut definitions = generator.take_definitions(true);
    for kind in kinds {
        if let Some(definition) = names
            .get(&(kind.group, kind.name))
            .and_then(|name| definitions.get_mut(name))
        {
            definition["x-kubernetes-group-version-kind"] = json!([kind.spelled()]);
            // It is where the types are Rust's; Kubernetes fills it in.
            if let Some(required) = definition["required"].as_array_mut() {
                required.retain(|field| field != "metadata");
            }
            annotate(&mut definitions, kind.merges());
        }
    }
    Schemas { definitions, names }
}

/// Writes what is known of a type's fields, and of theirs, into the definitions.
fn annotate(definitions: &mut Map<String, Value>, of: &Type) {
    for field in of.fields {
        let property = definitions
            .get_mut(of.name)
            .and_then(|definition| definition.pointer_mut("/properties")?.get_mut(field.name));
        if let Some(Value::Object(property)) = property {
            property.extend(extensions(field));
        }
        annotate(definitions, field.of);
    }
}

fn extensions(field: &Field) -> Map<String, Value> {
    let mut extensions = Map::new();
    let mut set = |name: &str, value: Value| {
        extensions.insert(format!("x-kubernetes-{name}"), value);
    };
    if let Some(key) = field.patch_key() {
        set("patch-merge-key", key.into());
    }
    if let Some(strategy) = field.patch_strategy() {
        set("patch-strategy", strategy.into());
    }
    match &field.merge {
        Merge::Keyed(keyed) if keyed.keys.is_empty() => set("list-type", "atomic".into()),
        Merge::Keyed(keyed) => {
            set("list-type", "map".into());
            set(
                "list-map-keys",
                keyed.keys.iter().map(|key| key.name).collect(),
            );
        }
        Merge::Set { .. } => set("list-type", "set".into()),
        Merge::Fields if field.of.atomic => set("map-type", "atomic".into()),
        Merge::Fields | Merge::OneOf => {}
    }
    extensions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a property to the definition of its object or of its elements.
    fn definition_of<'a>(definitions: &'a Map<String, Value>, property: &'a Value) -> &'a Value {
        let property = property.get("items").unwrap_or(property);
        let reference = property
            .pointer("/allOf/0/$ref")
            .or_else(|| property.get("$ref"))
            .and_then(Value::as_str);
        match reference.and_then(|to| definitions.get(to.strip_prefix(PREFIX)?)) {
            Some(definition) => definition,
            None => property,
        }
    }

    /// Whether what the table says of a type is about fields that the type has.
    fn check(definitions: &Map<String, Value>, of: &Type, definition: &Value, path: &str) {
        if !of.name.is_empty() {
            assert_eq!(
                Some(definition),
                definitions.get(of.name),
                "{path}: {}",
                of.name
            );
        }
        for field in of.fields {
            let path = format!("{path}.{}", field.name);
            let property = &definition["properties"][field.name];
            assert!(property.is_object(), "{path} is no field");
            let inner = definition_of(definitions, property);
            if let Merge::Keyed(keyed) = &field.merge {
                let keys = keyed.keys.iter().map(|key| key.name).chain(keyed.patch);
                for key in keys {
                    assert!(inner["properties"][key].is_object(), "{path} has no {key}");
                }
            }
            check(definitions, field.of, inner, &path);
        }
    }

    #[test]
    fn the_table_of_lists_is_about_fields_that_there_are() {
        for kind in Kind::all() {
            let schemas = of(&[kind]);
            let name = schemas.name_of(&kind).unwrap_or_else(|| panic!("{kind:?}"));
            let definition = &schemas.definitions[name];
            check(&schemas.definitions, kind.merges(), definition, kind.name);
        }
    }

    #[test]
    fn clients_learn_how_lists_merge() {
        let pods = Kind::all().find(|kind| kind.name == "Pod");
        let schemas = of(&[pods.expect("pods are served")]);
        let ports = &schemas.definitions["io.k8s.api.core.v1.Container"]["properties"]["ports"];
        assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
        assert_eq!(ports["x-kubernetes-patch-strategy"], "merge");
        assert_eq!(
            ports["x-kubernetes-list-map-keys"],
            json!(["containerPort", "protocol"])
        );
    }
}
