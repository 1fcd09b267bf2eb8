//! What clients send: it is refused, or it becomes an object that can be stored, read and stored
//! again.

use serde_json::Value;

pub use super::apply::fuzzing::apply;
pub use super::patch::fuzzing::patch;

use super::body::{self, Given};
use super::{finish_update, prepare, protobuf as proto};
use crate::server::kinds::event;
use crate::server::kinds::pod::PODS;
use crate::server::object;
use crate::server::request::FieldValidation;
use crate::server::resource::{ALL, Resource};
use crate::server::store::Change;

/// The body of a request to create an object of the kind that it says it is.
pub fn decoder(input: &[u8]) {
    let Ok(mut given) = body::read("application/json", input, "Object", "v1", &[]) else {
        return;
    };
    let resource = resource_of(&given.value);
    if let Some(map) = given
        .value
        .as_object_mut()
        .filter(|_| resource.kind == "Event")
    {
        event::to_stored(map);
    }
    create(resource, given);
}

/// The same in protobuf, as any kind that reads it.
pub fn protobuf(input: &[u8]) {
    for resource in ALL.iter().filter(|one| !one.protobuf.is_empty()) {
        if let Some(object) = read_protobuf(input, resource.protobuf) {
            create(resource, object.into());
        }
    }
    read_protobuf(input, proto::DELETE_OPTIONS);
    read_protobuf(input, proto::EVICTION);
}

fn read_protobuf(input: &[u8], fields: &[proto::Field]) -> Option<Value> {
    /// Two bytes are enough for a field, and its name in JSON is a short one.
    const SWELLING: usize = 64;
    let object = proto::decode(input, fields).ok()?;
    let json = object.to_string();
    assert!(json.len() <= SWELLING * (input.len() + 1), "{json}");
    can_be_kept(&object);
    Some(object)
}

/// By what an object says of itself; whatever says nothing is taken for a pod.
pub fn resource_of(value: &Value) -> &'static Resource {
    let kind = object::text(value, "/kind");
    let found = Resource::of_kind(kind, object::text(value, "/apiVersion"));
    found.unwrap_or(&PODS)
}

/// What is written for the store and for clients is read as what it was. That does not go for the last bit
/// of a number that is no integer, which no kind has but in what is anything at all.
pub fn can_be_kept(value: &Value) {
    let mut value = value.clone();
    drop_fractions(&mut value);
    let bytes = serde_json::to_vec(&value).expect("JSON");
    let read: Value = serde_json::from_slice(&bytes).expect("what was written is read");
    assert_eq!(read, value);
}

fn drop_fractions(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => *value = Value::Null,
        Value::Array(list) => list.iter_mut().for_each(drop_fractions),
        Value::Object(map) => map.values_mut().for_each(drop_fractions),
        _ => {}
    }
}

fn create(resource: &'static Resource, mut given: Given) {
    if body::claim(&mut given.value, resource.kind, &resource.api_version()).is_err() {
        return;
    }
    let mut kept = Given {
        value: given.value.clone(),
        doubled: given.doubled.clone(),
    };
    let Ok(warnings) = body::decode(resource, &mut kept, FieldValidation::Warn) else {
        return;
    };
    let strictly = body::decode(resource, &mut given, FieldValidation::Strict);
    assert_eq!(strictly.is_ok(), warnings.is_empty(), "{warnings:?}");
    let kept = kept.value;
    is_known(resource, &kept);
    can_be_kept(&kept);
    let mut filled = kept.clone();
    (resource.strategy.default)(&mut filled);
    is_known(resource, &filled);
    let mut again = filled.clone();
    (resource.strategy.default)(&mut again);
    assert_eq!(again, filled, "defaults are filled in once");
    let cells = (resource.row)(&filled, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(cells.len(), resource.columns.len());
    match prepare(resource, kept) {
        Ok(created) => stays(resource, &created),
        // It can be said.
        Err(error) => drop(error.status().to_string()),
    }
}

/// Nothing in it is unknown, and decoding it changes nothing but nulls, which mean nothing.
fn is_known(resource: &Resource, value: &Value) {
    let mut decoded = value.clone();
    let warnings = body::check(resource, &mut decoded, &[], FieldValidation::Strict);
    assert_eq!(warnings, Ok(Vec::new()), "{value}");
    let mut plain = value.clone();
    object::prune_nulls(&mut plain);
    assert_eq!(decoded, plain);
}

/// What was accepted once is accepted again, and nothing is changed by a change to the same.
fn stays(resource: &'static Resource, stored: &Value) {
    is_known(resource, stored);
    can_be_kept(stored);
    match finish_update(resource, stored, stored.clone()) {
        Ok(Change::Put { value, .. }) => assert_eq!(value, *stored),
        Ok(_) => panic!("{stored} is gone"),
        Err(error) => panic!("{error}: {stored}"),
    }
}
