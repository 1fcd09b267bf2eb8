//! Responses.

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::Body;
use crate::server::discovery::Document;
use crate::server::object;
use crate::server::openapi;
use crate::server::status::ApiError;

const FOR_GOOD: HeaderValue = HeaderValue::from_static("private, immutable, max-age=31536000");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    with_type(status, JSON, full(body))
}

pub fn value(status: StatusCode, value: &Value) -> Response<Body> {
    let mut text = Vec::new();
    object::write(value, &mut text);
    json(status, text)
}

pub fn error(error: &ApiError) -> Response<Body> {
    let status = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = value(status, &error.status());
    if let Some(seconds) = error.retry_after_seconds() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub fn text(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    with_type(status, HeaderValue::from_static(content_type), full(body))
}

/// A document of discovery. `address` is the query it was asked for with.
pub fn document(document: &Document, address: Option<&str>) -> Response<Body> {
    match document {
        Document::Json(body) => value(StatusCode::OK, body),
        Document::Made(body) => {
            let mut response = json(StatusCode::OK, body.clone());
            // An address with a hash means these very bytes.
            if address.is_some_and(|address| address.starts_with("hash=")) {
                response.headers_mut().insert(CACHE_CONTROL, FOR_GOOD);
            }
            response
        }
        Document::Aggregated(body, version) => {
            let form = format!(
                "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            );
            let form = HeaderValue::from_str(&form).unwrap_or(JSON);
            with_type(StatusCode::OK, form, full(body.to_string()))
        }
        Document::OpenApi(body) => with_type(
            StatusCode::OK,
            HeaderValue::from_static(openapi::v2::MEDIA_TYPE),
            full(body.clone()),
        ),
    }
}

/// A JSON body that is produced as the client takes it.
pub fn stream(chunks: impl futures::Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    use futures::StreamExt;
    let frames = chunks.map(|chunk| Ok::<_, hyper::Error>(Frame::data(chunk)));
    with_type(StatusCode::OK, JSON, StreamBody::new(frames).boxed_unsync())
}

/// Adds `Warning: 299 - "…"` headers, which kubectl prints.
pub fn warn(response: &mut Response<Body>, warnings: &[impl AsRef<str>]) {
    for warning in warnings {
        let text: String = warning
            .as_ref()
            .chars()
            .filter(|character| !character.is_control())
            .flat_map(|character| match character {
                '"' | '\\' => vec!['\\', character],
                other => vec![other],
            })
            .collect();
        // What cannot stand in a header is not worth failing a write that has happened.
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
}

pub fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn with_type(status: StatusCode, content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
