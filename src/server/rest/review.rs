//! POST of a review: answered from what is known of the caller, and forgotten.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use jiff::Timestamp;

use super::{Answer, body, respond};
use crate::server::authorize::Caller;
use crate::server::kinds::review::Review;
use crate::server::request::{ResourceRequest, Verb};
use crate::server::status::ApiError;
use crate::server::store::Store;

pub async fn answer(
    review: &Review,
    target: &ResourceRequest,
    caller: &Caller,
    store: &Store,
    request: Request<Incoming>,
) -> Answer {
    if target.name.is_some() || target.namespace.is_some() {
        return Err(ApiError::NoSuchPath);
    }
    if target.verb != Verb::Create {
        return Err(ApiError::MethodNotAllowed);
    }
    let asked = body::object(request, review.kind, &review.api_version(), review.protobuf).await?;
    let answered = review.answered(caller, asked, store, Timestamp::now())?;
    Ok(respond::value(StatusCode::CREATED, &answered))
}
