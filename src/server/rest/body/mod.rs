//! Request bodies: bounded, decoded, and checked against the type they claim to be.

mod given;

use std::collections::{HashMap, HashSet};

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, header};
use serde_json::Value;

pub use given::Given;

use super::protobuf::{self, Field};
use crate::server::kinds::{UnknownField, event};
use crate::server::object;
use crate::server::request::FieldValidation;
use crate::server::resource::Resource;
use crate::server::status::ApiError;

/// As kube-apiserver.
pub const LIMIT_BYTES: usize = 3 << 20;

pub async fn bytes(request: Request<Incoming>) -> Result<Bytes, ApiError> {
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > LIMIT_BYTES) {
        return Err(too_large());
    }
    match Limited::new(request.into_body(), LIMIT_BYTES)
        .collect()
        .await
    {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(ApiError::BadRequest(format!(
            "cannot read the body: {error}"
        ))),
    }
}

/// What is said of an object beyond [`LIMIT_BYTES`], however it came to be.
pub fn too_large() -> ApiError {
    ApiError::TooLarge(format!("limit is {LIMIT_BYTES}"))
}

/// The media type of the body without its parameters; JSON where none is given.
pub fn media_type<B>(request: &Request<B>) -> String {
    request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map_or("application/json".to_owned(), |essence| {
            essence.trim().to_ascii_lowercase()
        })
}

/// Reads an object of a resource.
pub async fn of(resource: &Resource, request: Request<Incoming>) -> Result<Given, ApiError> {
    let api_version = resource.api_version();
    given(request, resource.kind, &api_version, resource.protobuf).await
}

/// Reads an object of the given kind that is no resource's. Missing `kind` and `apiVersion` are filled
/// in. `fields` is what is read of a protobuf body; nothing where none is accepted.
pub async fn object(
    request: Request<Incoming>,
    kind: &str,
    api_version: &str,
    fields: &[Field],
) -> Result<Value, ApiError> {
    let given = given(request, kind, api_version, fields).await?;
    Ok(given.value)
}

async fn given(
    request: Request<Incoming>,
    kind: &str,
    api_version: &str,
    fields: &[Field],
) -> Result<Given, ApiError> {
    let media_type = media_type(&request);
    let body = bytes(request).await?;
    let mut given = read(&media_type, &body, kind, api_version, fields)?;
    if let Some(map) = given.value.as_object_mut().filter(|_| kind == "Event") {
        event::to_stored(map);
    }
    claim(&mut given.value, kind, api_version)?;
    Ok(given)
}

/// Reads a body as JSON or YAML, or as protobuf where `fields` says what to read.
pub fn read(
    media_type: &str,
    body: &[u8],
    kind: &str,
    api_version: &str,
    fields: &[Field],
) -> Result<Given, ApiError> {
    let unreadable = |why: String| {
        ApiError::BadRequest(format!(
            "{kind} in version {api_version:?} cannot be handled as a {kind}: {why}"
        ))
    };
    match media_type {
        "application/json" => {
            serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))
        }
        "application/yaml" => yaml(body).map_err(unreadable),
        protobuf::MEDIA_TYPE if !fields.is_empty() => {
            protobuf::decode(body, fields).map(Given::from)
        }
        _ => Err(ApiError::UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json, application/yaml"
                .into(),
        )),
    }
}

/// Reads YAML, within the bounds of JSON bodies.
///
/// # Errors
/// Why it is none.
pub fn yaml(body: &[u8]) -> Result<Given, String> {
    /// What JSON bodies are held to, too.
    const DEEPEST: usize = 127;
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let bounds = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEEPEST },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
    };
    serde_saphyr::from_str_with_options(text, bounds).map_err(|error| error.to_string())
}

/// Checks that an object is what its URL says.
pub fn claim(value: &mut Value, kind: &str, api_version: &str) -> Result<(), ApiError> {
    let Some(map) = value.as_object_mut() else {
        return Err(ApiError::BadRequest(format!(
            "{kind} in version {api_version:?} cannot be handled as a {kind}: not a JSON object"
        )));
    };
    for (key, what, expected) in [
        ("apiVersion", "API version", api_version),
        ("kind", "kind", kind),
    ] {
        object::default(map, key, expected);
        if map[key] == "" {
            map[key] = expected.into();
        }
        if map[key] != expected {
            return Err(ApiError::BadRequest(format!(
                "the {what} in the data ({}) does not match the expected {what} ({expected})",
                map[key].as_str().unwrap_or("not a string"),
            )));
        }
    }
    if !matches!(
        map.get("metadata"),
        None | Some(Value::Object(_) | Value::Null)
    ) {
        return Err(ApiError::BadRequest("metadata must be an object".into()));
    }
    object::metadata(value);
    Ok(())
}

/// Decodes an object as its type; see [`check`]. Returns the warnings for the caller.
pub fn decode(
    resource: &Resource,
    given: &mut Given,
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    check(resource, &mut given.value, &given.doubled, validation).map_err(|why| {
        ApiError::BadRequest(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: {why}",
            resource.version,
            kind = resource.kind,
        ))
    })
}

/// Checks that `value` is of its type, and treats what the type does not have, and what was given
/// twice, as `validation` says: unknown fields are never kept. Returns the warnings for the caller.
///
/// # Errors
/// Why it is not of its type, or everything that is too much of it.
pub fn check(
    resource: &Resource,
    value: &mut Value,
    doubled: &[String],
    validation: FieldValidation,
) -> Result<Vec<String>, String> {
    object::prune_nulls(value);
    let unknown = (resource.strategy.unknown_fields)(value)?;
    let doubled = doubled
        .iter()
        .map(|path| format!("duplicate field {path:?}"));
    let named = unknown.iter().take(given::MOST_NAMED);
    let named = named.map(|field| format!("unknown field {:?}", field.path));
    let messages: Vec<String> = doubled.chain(named).collect();
    if validation == FieldValidation::Strict && !messages.is_empty() {
        return Err(format!("strict decoding error: {}", messages.join(", ")));
    }
    remove(value, &unknown);
    Ok(match validation {
        FieldValidation::Warn => bounded(messages),
        FieldValidation::Ignore | FieldValidation::Strict => Vec::new(),
    })
}

/// Takes fields away, those of one object at once: there may be many.
fn remove(value: &mut Value, fields: &[UnknownField]) {
    let mut by_parent: HashMap<&str, HashSet<&str>> = HashMap::new();
    for field in fields {
        by_parent
            .entry(&field.parent)
            .or_default()
            .insert(&field.key);
    }
    for (parent, keys) in by_parent {
        if let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.retain(|key, _| !keys.contains(key.as_str()));
        }
    }
}

/// As many warnings as headers can carry, by kube-apiserver's measure; and fewer than the hundred headers
/// that clients of hyper take.
fn bounded(messages: Vec<String>) -> Vec<String> {
    const MOST: usize = 64;
    const EACH: usize = 256;
    const TOGETHER: usize = 4096;
    let mut left = TOGETHER;
    let cut =
        messages
            .into_iter()
            .take(MOST)
            .map(|message| match message.char_indices().nth(EACH) {
                Some((end, _)) => message[..end].to_owned(),
                None => message,
            });
    cut.take_while(|message| match left.checked_sub(message.len()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    })
    .collect()
}
