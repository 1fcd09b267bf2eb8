//! Requests to the API, and what it refuses.

use std::fmt;

use anyhow::Context;
use futures::AsyncBufRead;
pub use http::Method;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde_json::Value;

pub const JSON: &str = "application/json";
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
pub const MERGE_PATCH: &str = "application/merge-patch+json";
pub const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";
pub const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// The server's no, in its own words.
#[derive(Debug)]
pub struct Refusal(pub Status);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Refusal {}

/// What kube wraps: a refusal as such, all else by its first cause.
pub fn explain(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => Refusal(*status).into(),
        other => other.into(),
    }
}

pub fn is_not_found(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref::<Refusal>();
    refusal.is_some_and(|refusal| refusal.0.code == 404)
}

fn is_gone(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref::<Refusal>();
    refusal.is_some_and(|refusal| refusal.0.code == 410)
}

pub async fn get(client: &Client, path: &str) -> anyhow::Result<Value> {
    get_as(client, path, JSON).await
}

pub async fn get_as(client: &Client, path: &str, accept: &str) -> anyhow::Result<Value> {
    let request = Request::get(path).header(header::ACCEPT, accept);
    answer(client, request.body(Body::empty())?).await
}

/// A list, asked for by so many objects at a time; 0 is all at once.
pub async fn list(
    client: &Client,
    url: &str,
    accept: &str,
    at_a_time: i64,
) -> anyhow::Result<Value> {
    if at_a_time == 0 {
        return get_as(client, url, accept).await;
    }
    let limited = format!("{url}{}limit={at_a_time}", join(url));
    let mut list = get_as(client, &limited, accept).await?;
    while let Some(token) = list["metadata"]["continue"]
        .as_str()
        .filter(|token| !token.is_empty())
    {
        let next = format!("{limited}&continue={}", super::resource::escape(token));
        let mut more = match get_as(client, &next, accept).await {
            // It took too long: what is left is of the past.
            Err(error) if is_gone(&error) => return get_as(client, url, accept).await,
            more => more?,
        };
        for key in ["items", "rows"] {
            if let (Some(all), Value::Array(some)) = (list[key].as_array_mut(), more[key].take()) {
                all.extend(some);
            }
        }
        list["metadata"] = more["metadata"].take();
    }
    Ok(list)
}

/// What comes between a URL and one more parameter.
pub fn join(url: &str) -> char {
    if url.contains('?') { '&' } else { '?' }
}

/// The answer of a success, unread.
pub async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<http::Response<Body>> {
    let request = Request::builder().method(method).uri(path);
    let request = request
        .header(header::CONTENT_TYPE, JSON)
        .body(Body::from(body))?;
    let response = client.send(request).await.map_err(explain)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let bytes = body
        .collect()
        .await
        .context("the answer broke off")?
        .to_bytes();
    let mut status: Status = serde_json::from_slice(&bytes).unwrap_or_default();
    status.code = head.status.as_u16();
    if status.reason.is_empty() && head.status == StatusCode::NOT_FOUND {
        status.reason = "NotFound".to_owned();
        status.message = "the server could not find the requested resource".to_owned();
    }
    Err(Refusal(status).into())
}

pub async fn post(client: &Client, path: &str, body: &Value) -> anyhow::Result<Value> {
    write(client, Method::POST, path, JSON, body).await
}

pub async fn put(client: &Client, path: &str, body: &Value) -> anyhow::Result<Value> {
    write(client, Method::PUT, path, JSON, body).await
}

pub async fn patch(client: &Client, path: &str, kind: &str, body: &Value) -> anyhow::Result<Value> {
    write(client, Method::PATCH, path, kind, body).await
}

pub async fn delete(client: &Client, path: &str, options: &Value) -> anyhow::Result<Value> {
    write(client, Method::DELETE, path, JSON, options).await
}

async fn write(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, content_type)
        .body(Body::from(body.to_string().into_bytes()))?;
    answer(client, request).await
}

/// Lines, as the server sends them; one event of a watch each.
pub async fn stream(
    client: &Client,
    path: &str,
    accept: &str,
) -> anyhow::Result<impl AsyncBufRead + use<>> {
    let request = Request::get(path).header(header::ACCEPT, accept);
    let request = request.body(Vec::new())?;
    client.request_stream(request).await.map_err(explain)
}

/// The server's warnings go to standard error, as they come.
async fn answer(client: &Client, request: Request<Body>) -> anyhow::Result<Value> {
    let response = client.send(request).await.map_err(explain)?;
    let (head, body) = response.into_parts();
    for warning in head.headers.get_all(header::WARNING) {
        if let Some(text) = warning.to_str().ok().and_then(warning_text) {
            eprintln!("Warning: {text}");
        }
    }
    let bytes = body
        .collect()
        .await
        .context("the answer broke off")?
        .to_bytes();
    let value: Value = serde_json::from_slice(&bytes).with_context(|| {
        let text = String::from_utf8_lossy(&bytes);
        format!("the server answers {}: {}", head.status, text.trim())
    })?;
    if head.status.is_success() {
        return Ok(value);
    }
    let mut status: Status = serde_json::from_value(value).context("a refusal without a reason")?;
    status.code = head.status.as_u16();
    Err(Refusal(status).into())
}

/// What is quoted in `299 - "…"` (RFC 9111 §5.5).
fn warning_text(header: &str) -> Option<String> {
    let (_, quoted) = header.split_once('"')?;
    let text = quoted.rsplit_once('"')?.0;
    Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_taken_out_of_their_quotes() {
        let text = warning_text(r#"299 - "unknown field \"spec.foo\"""#);
        assert_eq!(text.as_deref(), Some(r#"unknown field "spec.foo""#));
        assert_eq!(warning_text("299"), None);
    }
}
