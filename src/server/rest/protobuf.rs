//! Kubernetes' protobuf encoding, as far as kubectl insists on it.
//!
//! `kubectl create namespace`, `drain` and their like send nothing else and do not fall back to
//! JSON. A kind says in its resource row which fields it reads; the rest of a message is passed over, as protobuf
//! means it to be. Answers are JSON, which these clients accept.
//!
//! Format: <https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding> and
//! <https://protobuf.dev/programming-guides/encoding/>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::server::status::ApiError;

pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// A field of a message and where it goes in the JSON.
pub struct Field {
    pub number: u64,
    pub name: &'static str,
    pub kind: Kind,
}

pub enum Kind {
    Text,
    /// A whole number; a negative one has all its bits.
    Integer,
    /// As `Integer`, of a field that is absent in JSON when it is zero.
    Count,
    /// `util/intstr IntOrString`.
    IntOrText,
    Flag,
    /// Repeated strings.
    Texts,
    /// A map from string to string.
    Pairs,
    /// A map from string to bytes, which in JSON are base64.
    Blobs,
    Message(&'static [Field]),
    /// Repeated messages.
    Messages(&'static [Field]),
}

impl Field {
    pub const fn new(number: u64, name: &'static str, kind: Kind) -> Field {
        Field { number, name, kind }
    }
}

/// `meta/v1 ObjectMeta`: what an author of an object may set.
pub const OBJECT_META: &[Field] = &[
    Field::new(1, "name", Kind::Text),
    Field::new(2, "generateName", Kind::Text),
    Field::new(3, "namespace", Kind::Text),
    Field::new(11, "labels", Kind::Pairs),
    Field::new(12, "annotations", Kind::Pairs),
    Field::new(14, "finalizers", Kind::Texts),
];

/// `meta/v1 DeleteOptions`.
pub const DELETE_OPTIONS: &[Field] = &[
    Field::new(1, "gracePeriodSeconds", Kind::Integer),
    Field::new(2, "preconditions", Kind::Message(PRECONDITIONS)),
    Field::new(3, "orphanDependents", Kind::Flag),
    Field::new(4, "propagationPolicy", Kind::Text),
    Field::new(5, "dryRun", Kind::Texts),
];

const PRECONDITIONS: &[Field] = &[
    Field::new(1, "uid", Kind::Text),
    Field::new(2, "resourceVersion", Kind::Text),
];

/// `policy/v1 Eviction`.
pub const EVICTION: &[Field] = &[
    Field::new(1, "metadata", Kind::Message(OBJECT_META)),
    Field::new(2, "deleteOptions", Kind::Message(DELETE_OPTIONS)),
];

const MAGIC: &[u8] = b"k8s\0";

/// Reads an object in its envelope (`runtime.Unknown`) as JSON.
pub fn decode(body: &[u8], fields: &[Field]) -> Result<Value, ApiError> {
    read_envelope(body, fields).ok_or_else(|| {
        ApiError::BadRequest("the body is not Kubernetes' protobuf encoding of an object".into())
    })
}

fn read_envelope(body: &[u8], fields: &[Field]) -> Option<Value> {
    const TYPE: &[Field] = &[
        Field::new(1, "apiVersion", Kind::Text),
        Field::new(2, "kind", Kind::Text),
    ];
    let mut object = Map::new();
    let mut reader = Reader(body.strip_prefix(MAGIC)?);
    while let Some((number, value)) = reader.field()? {
        match (number, value) {
            (1, Wire::Bytes(bytes)) => object.extend(read_message(bytes, TYPE)?),
            (2, Wire::Bytes(bytes)) => object.extend(read_message(bytes, fields)?),
            _ => {}
        }
    }
    Some(Value::Object(object))
}

/// Empty texts are absent ones: Go's encoder writes both alike. Numbers that are optional are
/// there only if they were set, be it to zero.
fn read_message(bytes: &[u8], fields: &[Field]) -> Option<Map<String, Value>> {
    let mut message = Map::new();
    let mut reader = Reader(bytes);
    while let Some((number, value)) = reader.field()? {
        let Some(field) = fields.iter().find(|field| field.number == number) else {
            continue;
        };
        let bytes = match (&field.kind, value) {
            (Kind::Integer, Wire::Number(number)) => {
                message.insert(field.name.into(), number.cast_signed().into());
                continue;
            }
            (Kind::Count, Wire::Number(0)) => continue,
            (Kind::Count, Wire::Number(number)) => {
                message.insert(field.name.into(), number.cast_signed().into());
                continue;
            }
            (Kind::Flag, Wire::Number(number)) => {
                message.insert(field.name.into(), (number != 0).into());
                continue;
            }
            (Kind::Integer | Kind::Count | Kind::Flag, _) | (_, Wire::Number(_) | Wire::Other) => {
                return None;
            }
            (_, Wire::Bytes(bytes)) => bytes,
        };
        if bytes.is_empty() {
            continue;
        }
        let slot = message.entry(field.name).or_insert(Value::Null);
        match &field.kind {
            Kind::Integer | Kind::Count | Kind::Flag => {}
            Kind::IntOrText => *slot = read_int_or_text(bytes)?,
            Kind::Text => *slot = text(bytes)?.into(),
            Kind::Texts => match slot {
                Value::Array(list) => list.push(text(bytes)?.into()),
                slot => *slot = vec![text(bytes)?].into(),
            },
            Kind::Pairs | Kind::Blobs => {
                let (key, value) = read_pair(bytes)?;
                let value: Value = match field.kind {
                    Kind::Blobs => STANDARD.encode(value).into(),
                    _ => text(value)?.into(),
                };
                match slot {
                    Value::Object(map) => {
                        map.insert(key, value);
                    }
                    slot => *slot = Map::from_iter([(key, value)]).into(),
                }
            }
            Kind::Message(fields) => *slot = read_message(bytes, fields)?.into(),
            Kind::Messages(fields) => {
                let one = Value::from(read_message(bytes, fields)?);
                match slot {
                    Value::Array(list) => list.push(one),
                    slot => *slot = vec![one].into(),
                }
            }
        }
    }
    Some(message)
}

fn read_pair(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut pair = (String::new(), &[][..]);
    let mut reader = Reader(bytes);
    while let Some((number, value)) = reader.field()? {
        match (number, value) {
            (1, Wire::Bytes(bytes)) => pair.0 = text(bytes)?.to_owned(),
            (2, Wire::Bytes(bytes)) => pair.1 = bytes,
            _ => {}
        }
    }
    Some(pair)
}

fn read_int_or_text(bytes: &[u8]) -> Option<Value> {
    const FIELDS: &[Field] = &[
        Field::new(1, "isText", Kind::Flag),
        Field::new(2, "number", Kind::Integer),
        Field::new(3, "text", Kind::Text),
    ];
    let mut either = read_message(bytes, FIELDS)?;
    let taken = match either.get("isText") == Some(&Value::Bool(true)) {
        true => either.remove("text").unwrap_or_else(|| "".into()),
        false => either.remove("number").unwrap_or_else(|| 0.into()),
    };
    Some(taken)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next field; `Some(None)` at the end, `None` if this is no message.
    fn field(&mut self) -> Option<Option<(u64, Wire<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => self.varint().map(Wire::Number),
            1 => self.take(8).map(|_| Wire::Other),
            2 => {
                let length = self.varint()?;
                self.take(usize::try_from(length).ok()?).map(Wire::Bytes)
            }
            5 => self.take(4).map(|_| Wire::Other),
            _ => None,
        };
        value.map(|value| Some((tag >> 3, value)))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NAMESPACE: &[Field] = &[Field::new(1, "metadata", Kind::Message(OBJECT_META))];

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        field.extend_from_slice(content);
        field
    }

    fn envelope(metadata: &[Vec<u8>]) -> Vec<u8> {
        let kind = [bytes(1, b"v1"), bytes(2, b"Namespace")].concat();
        let object = bytes(1, &metadata.concat());
        [MAGIC, &bytes(1, &kind), &bytes(2, &object)].concat()
    }

    #[test]
    fn an_object_as_kubectl_sends_it() {
        let label = |key: &[u8]| bytes(11, &[bytes(1, key), bytes(2, b"x")].concat());
        // generateName is empty, field 7 is a number, field 8 an empty message.
        let metadata = [
            bytes(1, b"shop"),
            bytes(2, b""),
            vec![7 << 3, 0],
            bytes(8, b""),
            label(b"a"),
            label(b"b"),
        ];
        assert_eq!(
            decode(&envelope(&metadata), NAMESPACE).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": "shop", "labels": {"a": "x", "b": "x"}},
            })
        );
    }

    #[test]
    fn a_list_of_messages_with_zeros_and_either_kind_of_port() {
        const PORT: &[Field] = &[
            Field::new(3, "port", Kind::Count),
            Field::new(4, "targetPort", Kind::IntOrText),
            Field::new(5, "nodePort", Kind::Count),
        ];
        const PORTS: &[Field] = &[Field::new(1, "ports", Kind::Messages(PORT))];
        let number = bytes(4, &[1 << 3, 0, 2 << 3, 81, 3 << 3 | 2, 0]);
        let name = bytes(
            4,
            &[&[1 << 3, 1, 2 << 3, 0][..], &bytes(3, b"http")].concat(),
        );
        let port = |target: &[u8]| bytes(1, &[&[3 << 3, 80][..], target, &[5 << 3, 0]].concat());
        let ports = [port(&number), port(&name)].concat();
        let body = [MAGIC, &bytes(2, &ports)].concat();
        assert_eq!(
            decode(&body, PORTS).unwrap(),
            json!({"ports": [
                {"port": 80, "targetPort": 81}, {"port": 80, "targetPort": "http"},
            ]})
        );
    }

    #[test]
    fn options_of_which_one_is_zero() {
        let options = [
            vec![1 << 3, 0],
            bytes(2, &bytes(1, b"a-uid")),
            vec![3 << 3, 1],
            bytes(4, b"Background"),
            bytes(5, b"All"),
        ];
        let kind = [bytes(1, b"v1"), bytes(2, b"DeleteOptions")].concat();
        let body = [MAGIC, &bytes(1, &kind), &bytes(2, &options.concat())].concat();
        assert_eq!(
            decode(&body, DELETE_OPTIONS).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "DeleteOptions",
                "gracePeriodSeconds": 0,
                "preconditions": {"uid": "a-uid"},
                "orphanDependents": true,
                "propagationPolicy": "Background",
                "dryRun": ["All"],
            })
        );
        // A text where there should be a number.
        let body = [MAGIC, &bytes(2, &bytes(1, b"soon"))].concat();
        assert!(decode(&body, DELETE_OPTIONS).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&[MAGIC, &body].concat(), NAMESPACE);
            let _ = decode(&[MAGIC, &body].concat(), EVICTION);
            let _ = decode(&envelope(&[body]), NAMESPACE);
        }
    }
}
