//! What is said of an object that is not of its type: which field, in the words of Kubernetes' decoder.
//!
//! serde tells neither the field nor Go's name of its type. The schema knows both, but not all that
//! serde refuses: where it finds nothing, serde's words remain.

use base64::prelude::{BASE64_STANDARD, Engine};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Number, Value};

/// What is wrong with the first value in `object` that is not what `T` has in its place.
pub fn of<T: JsonSchema>(object: &Value) -> Option<String> {
    let mut generator = SchemaGenerator::default();
    let schema = Value::from(generator.subschema_for::<T>());
    let definitions = generator.take_definitions(true);
    let root = Place {
        definitions: &definitions,
        owner: "",
        path: Vec::new(),
    };
    root.find(&schema, object)
}

/// Where in an object, as Go tells it: indices and the keys of maps are no part of it.
struct Place<'a> {
    definitions: &'a Map<String, Value>,
    /// The struct that the last field of the path is one of.
    owner: &'a str,
    path: Vec<&'a str>,
}

impl<'a> Place<'a> {
    fn find(&self, reference: &'a Value, value: &Value) -> Option<String> {
        let schema = self.resolve(reference);
        match (schema["type"].as_str()?, value) {
            (_, Value::Null) | ("boolean", Value::Bool(_)) => None,
            ("string", Value::String(text)) if schema["format"] == "byte" => not_base64(text),
            ("string", Value::String(_)) | ("number", Value::Number(_)) => None,
            ("integer", Value::Number(number)) if fits(number, schema) => None,
            ("integer", Value::Number(number)) => {
                Some(self.tell(reference, &format!("number {number}")))
            }
            ("array", Value::Array(list)) => list
                .iter()
                .find_map(|value| self.find(&schema["items"], value)),
            ("object", _) if is_anything(schema) => None,
            ("object", Value::Object(map)) => map
                .iter()
                .find_map(|(key, value)| self.find_in(reference, key, value)),
            (_, value) => Some(self.tell(reference, kind(value))),
        }
    }

    /// As [`Place::find`], of one value of an object.
    fn find_in(&self, reference: &'a Value, key: &str, value: &Value) -> Option<String> {
        let schema = self.resolve(reference);
        if let Some(values) = schema.get("additionalProperties") {
            return self.find(values, value);
        }
        let (field, schema) = schema["properties"].as_object()?.get_key_value(key)?;
        let mut path = self.path.clone();
        path.push(field);
        let owner = name(reference).rsplit('.').next().unwrap_or_default();
        Place {
            owner,
            path,
            ..*self
        }
        .find(schema, value)
    }

    fn resolve(&self, reference: &'a Value) -> &'a Value {
        self.definitions.get(name(reference)).unwrap_or(reference)
    }

    fn tell(&self, reference: &Value, given: &str) -> String {
        format!(
            "json: cannot unmarshal {given} into Go struct field {}.{} of type {}",
            self.owner,
            self.path.join("."),
            self.go_type(reference)
        )
    }

    fn go_type(&self, reference: &Value) -> String {
        let mut parts = name(reference).rsplit('.');
        if let (Some(name), Some(package)) = (parts.next(), parts.next()) {
            return format!("{package}.{name}");
        }
        match (&reference["type"], &reference["format"]) {
            (Value::String(kind), Value::String(format)) if kind == "integer" => format.clone(),
            (Value::String(kind), Value::String(format))
                if kind == "string" && format == "byte" =>
            {
                "[]uint8".into()
            }
            (Value::String(kind), _) => match kind.as_str() {
                "boolean" => "bool".into(),
                "number" => "float64".into(),
                "array" => format!("[]{}", self.go_type(&reference["items"])),
                "object" => format!(
                    "map[string]{}",
                    self.go_type(&reference["additionalProperties"])
                ),
                kind => kind.into(),
            },
            _ => "interface {}".into(),
        }
    }
}

/// The name of the definition that is referred to: `io.k8s.api.core.v1.EnvVar`; empty for none.
fn name(reference: &Value) -> &str {
    let to = reference["$ref"].as_str();
    to.and_then(|to| to.rsplit('/').next()).unwrap_or_default()
}

fn is_anything(schema: &Value) -> bool {
    schema.get("properties").is_none() && schema.get("additionalProperties").is_none()
}

fn fits(number: &Number, schema: &Value) -> bool {
    let number = number.as_i64();
    match schema["format"] == "int32" {
        true => number.is_some_and(|number| i32::try_from(number).is_ok()),
        false => number.is_some(),
    }
}

fn not_base64(text: &str) -> Option<String> {
    BASE64_STANDARD.decode(text).err()?;
    let at = corrupt_at(text.as_bytes()).unwrap_or(text.len());
    Some(format!("illegal base64 data at input byte {at}"))
}

/// Where Go's decoder finds what is wrong: an end that comes too early, at the first letter of the
/// last group (`encoding/base64`, `decodeQuantum`).
fn corrupt_at(text: &[u8]) -> Option<usize> {
    let (mut at, mut letters) = (0, 0);
    loop {
        match text.get(at) {
            None if letters == 0 => return None,
            None => return Some(at - letters),
            Some(byte) if byte.is_ascii_alphanumeric() || b"+/".contains(byte) => {
                letters = (letters + 1) % 4;
                at += 1;
            }
            Some(b'=') if letters > 1 => return corrupt_after(text, at, letters),
            Some(_) => return Some(at),
        }
    }
}

/// Of what follows the first `=`, which is at `at` and ends a group of two or three letters.
fn corrupt_after(text: &[u8], at: usize, letters: usize) -> Option<usize> {
    let end = match (letters, text.get(at + 1)) {
        (3, _) => at + 1,
        (_, Some(b'=')) => at + 2,
        (_, Some(_)) => return Some(at),
        (_, None) => return Some(text.len()),
    };
    (end < text.len()).then_some(end)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_field_is_named_as_kubernetes_names_it() {
        let containers =
            |given: Value| json!({"spec": {"template": {"spec": {"containers": given}}}});
        for (object, said) in [
            (
                containers(json!([{"name": "a", "env": [{"name": "PORT", "value": 8080}]}])),
                "number into Go struct field EnvVar.spec.template.spec.containers.env.value of \
                 type string",
            ),
            (
                containers(json!({"name": "a"})),
                "object into Go struct field PodSpec.spec.template.spec.containers of type \
                 []v1.Container",
            ),
            (
                containers(json!(["a"])),
                "string into Go struct field PodSpec.spec.template.spec.containers of type \
                 v1.Container",
            ),
            (
                json!({"spec": {"replicas": "two"}}),
                "string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                json!({"spec": {"replicas": 3_000_000_000_u32}}),
                "number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                json!({"metadata": {"labels": ["a"]}}),
                "array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
            ),
        ] {
            let said = format!("json: cannot unmarshal {said}");
            assert_eq!(of::<Deployment>(&object), Some(said));
        }
        assert_eq!(
            of::<ConfigMap>(&json!({"data": {"a": true}})).as_deref(),
            Some("json: cannot unmarshal bool into Go struct field ConfigMap.data of type string")
        );
    }

    #[test]
    fn what_is_no_base64_is_wrong_where_go_finds_it() {
        for (text, at) in [
            ("!!", 0),
            ("YW!j", 2),
            ("YWJ", 0),
            ("YWJjZA", 4),
            ("YWJjZGVmZ", 8),
            ("=", 0),
            ("Y===", 1),
            ("YQ=", 3),
            ("YQ=a", 2),
            ("YQ==a", 4),
            ("YWI=YWI=", 4),
        ] {
            let said = format!("illegal base64 data at input byte {at}");
            let object = json!({"binaryData": {"a": text}});
            assert_eq!(of::<ConfigMap>(&object), Some(said), "{text}");
        }
        assert_eq!(of::<ConfigMap>(&json!({"binaryData": {"a": "YQ=="}})), None);
    }

    #[test]
    fn what_may_be_written_in_several_ways_is_no_mistake() {
        let object = json!({"spec": {
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}},
            "template": {"spec": {"containers": [
                {"name": "a", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}},
            ]}},
        }});
        assert_eq!(of::<Deployment>(&object), None);
    }
}
