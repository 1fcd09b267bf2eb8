//! In which form the caller wants its answer.

use hyper::{Request, header};

use crate::server::discovery;
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
    if !request.headers().contains_key(header::ACCEPT) {
        return Ok(Form::Json);
    }
    media_types(request)
        .find_map(|media_type| form(&media_type))
        .ok_or(ApiError::NotAcceptable)
}

/// The same for documents that are no resources: whoever asks for something else gets JSON.
pub fn accepted_document<B>(request: &Request<B>) -> discovery::Form {
    media_types(request)
        .find_map(|media_type| document_form(&media_type))
        .unwrap_or(discovery::Form::Json)
}

/// One element of `Accept`.
struct MediaType<'a> {
    essence: String,
    transform: Option<&'a str>,
    version: Option<&'a str>,
}

fn media_types<B>(request: &Request<B>) -> impl Iterator<Item = MediaType<'_>> {
    let given = request.headers().get_all(header::ACCEPT).iter();
    given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(MediaType::parse)
}

impl MediaType<'_> {
    fn parse(text: &str) -> MediaType<'_> {
        let mut parts = text.split(';').map(str::trim);
        let mut parsed = MediaType {
            essence: parts.next().unwrap_or("").to_ascii_lowercase(),
            transform: None,
            version: None,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("as", value)) => parsed.transform = Some(value),
                Some(("v", value)) => parsed.version = Some(value),
                _ => {}
            }
        }
        parsed
    }

    fn is_json(&self) -> bool {
        matches!(
            self.essence.as_str(),
            "application/json" | "application/*" | "*/*"
        )
    }
}

fn form(media_type: &MediaType<'_>) -> Option<Form> {
    if !media_type.is_json() {
        return None;
    }
    match (media_type.transform, media_type.version) {
        (None, _) => Some(Form::Json),
        (Some("Table"), Some("v1")) => Some(Form::Table),
        (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("v1")) => {
            Some(Form::Metadata)
        }
        _ => None,
    }
}

fn document_form(media_type: &MediaType<'_>) -> Option<discovery::Form> {
    use discovery::Form;
    // Clients spell it with an `@`, which is no character of a media type.
    if media_type
        .essence
        .starts_with("application/com.github.proto-openapi.spec.v2")
    {
        return Some(Form::Protobuf);
    }
    if !media_type.is_json() {
        return None;
    }
    match (media_type.transform, media_type.version) {
        (None, _) => Some(Form::Json),
        (Some("APIGroupDiscoveryList"), Some("v2")) => Some(Form::Aggregated("v2")),
        (Some("APIGroupDiscoveryList"), Some("v2beta1")) => Some(Form::Aggregated("v2beta1")),
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

    #[test]
    fn discovery_comes_whole_to_whoever_asks_for_it() {
        let form = |accept: &str| {
            let request = Request::builder().header("accept", accept).body(());
            accepted_document(&request.unwrap())
        };
        use discovery::Form;
        let whole = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let older = whole.replace("v=v2", "v=v2beta1");
        assert_eq!(form(&format!("{whole},{older}")), Form::Aggregated("v2"));
        assert_eq!(form(&older), Form::Aggregated("v2beta1"));
        let newer = whole.replace("v=v2", "v=v3");
        assert_eq!(form(&format!("{newer},application/json")), Form::Json);
        assert_eq!(form("text/html"), Form::Json);
        let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        assert_eq!(form(protobuf), Form::Protobuf);
    }
}
