//! OpenAPI v2: what kubectl asks for wherever version 3 does not suffice it.
//!
//! That is to validate a `List`, and everything for a kubectl of before 1.24. It takes protobuf and
//! nothing else; of that, only what such a client reads is written: the schemas with their
//! extensions, and what patches understand. Everybody else gets JSON, from [`swagger`].
//!
//! Format of the protobuf: `openapiv2/OpenAPIv2.proto` of google/gnostic, whose field numbers these are.

mod swagger;

pub use swagger::document as json;

use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::{paths, schemas};

pub const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Made for each request: few ask.
pub fn document() -> Bytes {
    let kinds: Vec<Kind> = Kind::all().collect();
    let schemas = schemas::of(&kinds);
    let mut document = Message::default();
    document.text(1, "2.0");
    document.message(2, |info| {
        info.text(1, "Kubernetes");
        info.text(2, "v1.33.0+podnet");
    });
    document.message(8, |message| {
        for kind in &kinds {
            for (path, item) in paths::of(kind, None) {
                if let Some(patch) = item.get("patch") {
                    message.message(2, |named| {
                        named.text(1, &path);
                        named.message(2, |item| item.message(8, |it| operation(it, patch)));
                    });
                }
            }
        }
    });
    document.message(9, |definitions| {
        named_schemas(definitions, &schemas.definitions)
    });
    document.0.into()
}

fn operation(message: &mut Message, operation: &Value) {
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        // ParametersItem, Parameter, NonBodyParameter, QueryParameterSubSchema.
        message.message(8, |item| {
            item.message(1, |parameter_of| {
                parameter_of.message(2, |non_body| {
                    non_body.message(3, |query| {
                        query.text(2, "query");
                        query.text(4, parameter["name"].as_str().unwrap_or(""));
                        query.text(6, "string");
                    });
                });
            });
        });
    }
    const KIND: &str = "x-kubernetes-group-version-kind";
    extension(message, 13, KIND, &operation[KIND]);
}

fn named_schemas(message: &mut Message, schemas: &Map<String, Value>) {
    for (name, value) in schemas {
        message.message(1, |named| {
            named.text(1, name);
            named.message(2, |message| schema(message, value));
        });
    }
}

fn schema(message: &mut Message, schema_of: &Value) {
    let text = |key: &str| schema_of.get(key).and_then(Value::as_str);
    // Version 2 has descriptions beside references, version 3 wraps these.
    let reference = schema_of.pointer("/allOf/0/$ref").and_then(Value::as_str);
    if let Some(to) = text("$ref").or(reference) {
        let name = to.rsplit('/').next().unwrap_or(to);
        message.text(1, &format!("#/definitions/{name}"));
    }
    message.text(2, text("format").unwrap_or(""));
    message.text(4, text("description").unwrap_or(""));
    for name in schema_of["required"].as_array().into_iter().flatten() {
        message.text(19, name.as_str().unwrap_or(""));
    }
    match &schema_of["additionalProperties"] {
        Value::Object(_) => message.message(21, |item| {
            item.message(1, |inner| schema(inner, &schema_of["additionalProperties"]));
        }),
        Value::Bool(true) => message.message(21, |item| item.number(2, 1)),
        _ => {}
    }
    let either = schema_of.get("x-kubernetes-int-or-string").is_some();
    let kind = text("type").or(either.then_some("string"));
    if let Some(kind) = kind {
        message.message(22, |item| item.text(1, kind));
    }
    if let Some(items) = schema_of.get("items") {
        message.message(23, |item| item.message(1, |inner| schema(inner, items)));
    }
    if let Some(Value::Object(properties)) = schema_of.get("properties") {
        message.message(25, |message| named_schemas(message, properties));
    }
    for (name, value) in schema_of.as_object().into_iter().flatten() {
        if name.starts_with("x-") {
            extension(message, 31, name, value);
        }
    }
}

/// `NamedAny`, whose value is YAML, of which JSON is a part.
fn extension(message: &mut Message, number: u32, name: &str, value: &Value) {
    message.message(number, |named| {
        named.text(1, name);
        named.message(2, |any| any.text(2, &json!(value).to_string()));
    });
}

/// A protobuf message as it is written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
            number >>= 7;
        }
        self.0.push(u8::try_from(number).unwrap_or(0));
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// An empty text is an absent one.
    fn text(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    fn number(&mut self, number: u32, value: u64) {
        self.varint(u64::from(number) << 3);
        self.varint(value);
    }

    fn message(&mut self, number: u32, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.bytes(number, &inner.0);
    }
}
