//! In which form the caller wants its answer.

use hyper::{Request, header};

use crate::server::status::ApiError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    Table,
    /// Metadata alone: `meta/v1 PartialObjectMetadata`, or a list of those.
    Metadata,
}

/// The first form of `Accept` that the server has.
pub fn accepted<B>(request: &Request<B>) -> Result<Form, ApiError> {
    let mut given = request.headers().get_all(header::ACCEPT).iter().peekable();
    if given.peek().is_none() {
        return Ok(Form::Json);
    }
    given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(form)
        .ok_or(ApiError::NotAcceptable)
}

fn form(media_type: &str) -> Option<Form> {
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next()?.to_ascii_lowercase();
    if !matches!(
        essence.as_str(),
        "application/json" | "application/*" | "*/*"
    ) {
        return None;
    }
    let mut transform = None;
    let mut version = None;
    for part in parts {
        match part.split_once('=') {
            Some(("as", value)) => transform = Some(value),
            Some(("v", value)) => version = Some(value),
            _ => {}
        }
    }
    match (transform, version) {
        (None, _) => Some(Form::Json),
        (Some("Table"), Some("v1")) => Some(Form::Table),
        (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("v1")) => {
            Some(Form::Metadata)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Option<Form> {
        accepted(&Request::builder().header("accept", accept).body(()).ok()?).ok()
    }

    #[test]
    fn the_first_form_we_have_wins() {
        let table = Some(Form::Table);
        assert_eq!(
            of("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            table
        );
        assert_eq!(
            of("application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json"),
            Some(Form::Json)
        );
        assert_eq!(
            of("application/vnd.kubernetes.protobuf,application/json"),
            Some(Form::Json)
        );
        assert_eq!(
            of("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            Some(Form::Metadata)
        );
        assert_eq!(of("*/*"), Some(Form::Json));
        assert_eq!(of("application/yaml"), None);
    }
}
