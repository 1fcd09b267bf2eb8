//! POST of a review: answered from what is known of the caller, and forgotten.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use jiff::Timestamp;

use super::protobuf::{Field, Kind};
use super::{Answer, body, respond};
use crate::server::kinds::review::Review;
use crate::server::request::{ResourceRequest, Verb};
use crate::server::status::ApiError;
use crate::server::tls::Caller;

/// What is read of a review in protobuf: its kind says what is asked, and nothing else matters.
const ANYTHING: &[Field] = &[Field::new(1, "metadata", Kind::Message(&[]))];

pub async fn answer(
    review: &Review,
    target: &ResourceRequest,
    caller: &Caller,
    request: Request<Incoming>,
) -> Answer {
    if target.name.is_some() || target.namespace.is_some() {
        return Err(ApiError::NoSuchPath);
    }
    if target.verb != Verb::Create {
        return Err(ApiError::MethodNotAllowed);
    }
    let asked = body::object(request, review.kind, &review.api_version(), ANYTHING).await?;
    let answered = review.answered(caller, asked, Timestamp::now());
    Ok(respond::value(StatusCode::CREATED, &answered))
}
