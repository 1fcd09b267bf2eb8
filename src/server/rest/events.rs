//! `events.k8s.io/v1`: the events of `v1` under newer names. There is one store of both.
//!
//! A request for the newer group is served as one for the older, and its answer is renamed on the way
//! out; bodies say themselves which they are, see [`crate::server::kinds::event`].

use futures::{StreamExt, stream};
use http_body_util::{BodyExt, BodyStream};
use hyper::Response;
use hyper::body::Bytes;
use serde_json::Value;

use super::{Answer, Body, respond};
use crate::server::kinds::event;
use crate::server::request::{Options, ResourceRequest, Verb};
use crate::server::status::ApiError;

/// Turns a request for the newer group into one for the older; whether it was one.
pub fn redirect(target: &mut ResourceRequest, options: &mut Options) -> bool {
    let newer = (target.group.as_str(), target.version.as_str()) == (event::GROUP, "v1")
        && target.resource == "events";
    if newer {
        target.group.clear();
        options.field_selector = options
            .field_selector
            .replace("regarding.", "involvedObject.")
            .replace("reportingController", "reportingComponent");
    }
    newer
}

/// The answer in the newer names.
pub async fn renamed(verb: Verb, answer: Response<Body>) -> Answer {
    let (head, body) = answer.into_parts();
    if verb == Verb::Watch {
        return Ok(respond::stream(lines(body).map(|line| {
            let mut renamed = rename(&line).unwrap_or_else(|| line.to_vec());
            if renamed.last() != Some(&b'\n') {
                renamed.push(b'\n');
            }
            Bytes::from(renamed)
        })));
    }
    let whole = body
        .collect()
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))?
        .to_bytes();
    let renamed = rename(&whole)
        .ok_or_else(|| ApiError::Internal("an answer of our own is no JSON".into()))?;
    let mut answer = respond::json(head.status, renamed);
    for (name, value) in &head.headers {
        // What else there is: warnings.
        if !answer.headers().contains_key(name) {
            answer.headers_mut().append(name, value.clone());
        }
    }
    Ok(answer)
}

/// An event, a list of them, or an event about one; everything else stays as it is.
fn rename(json: &[u8]) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(json).ok()?;
    event::to_newer(&mut value);
    if let Some(object) = value.get_mut("object") {
        event::to_newer(object);
    }
    if value["kind"] == "EventList" {
        value["apiVersion"] = event::NEWER.into();
        let items = value.get_mut("items").and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            // Elements of a list may leave out what they are.
            item["kind"] = "Event".into();
            item["apiVersion"] = "v1".into();
            event::to_newer(item);
        }
    }
    Some(value.to_string().into_bytes())
}

/// The lines of a body, however they are cut into pieces.
fn lines(body: Body) -> impl futures::Stream<Item = Bytes> + Send {
    let pieces = BodyStream::new(body);
    stream::unfold((pieces, Vec::new()), |(mut pieces, mut rest)| async move {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                return Some((Bytes::from(line), (pieces, rest)));
            }
            match pieces.next().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        rest.extend_from_slice(&data);
                    }
                }
                Some(Err(_)) | None => return None,
            }
        }
    })
}
