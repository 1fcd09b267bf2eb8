//! PATCH: JSON patches (RFC 6902), merge patches (RFC 7386), and Kubernetes' own [`strategic`]
//! ones.
//!
//! A JSON patch is a small program, which [`json`] runs within bounds.

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod json;
mod strategic;

pub use json::bytes_of;

use std::sync::{Arc, OnceLock};

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde_json::{Map, Value};

use super::apply::Manager;
use super::body::Given;
use super::update::{check_names, dry, step, tracked};
use super::{Answer, Api, Scope, body, respond};
use crate::server::kinds::event;
use crate::server::schema::Type;
use crate::server::status::{ApiError, Cause};

/// The media type of what is no patch but an [application](super::apply).
const APPLY: &str = "application/apply-patch+yaml";

/// Patches an object of a kind as a client does that has not sent it yet; it is worth nothing after a
/// failure.
///
/// # Errors
/// What in the patch makes no sense, for its author.
pub fn strategic_merge(
    value: &mut Value,
    patch: Map<String, Value>,
    kind: &str,
) -> Result<(), String> {
    strategic::apply(value, patch, Type::of_kind(kind))
}

/// A patch, and the fields that it gives twice.
struct Patch {
    kind: Kind,
    doubled: Vec<String>,
}

enum Kind {
    Json(json_patch::Patch),
    Merge(Value),
    Strategic(Map<String, Value>),
}

impl Api {
    pub(super) async fn patch(&self, scope: Scope, request: Request<Incoming>) -> Answer {
        let media_type = body::media_type(&request);
        let by = Manager::of(&scope, &request);
        let body = body::bytes(request).await?;
        if media_type == APPLY {
            if scope.options.field_manager.is_none() {
                let cause = Cause::required("fieldManager", "is required for apply patch");
                return Err(ApiError::options(&Method::PATCH, cause));
            }
            return self.apply(scope, by, &body).await;
        }
        if scope.options.force {
            let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
            return Err(ApiError::options(&Method::PATCH, cause));
        }
        let patch = Patch::parse(&media_type, &body)?;
        // The result is checked where it is made, on the store's side.
        let warnings = Arc::new(OnceLock::new());
        let patched = self
            .store
            .write({
                let warnings = warnings.clone();
                move |view| {
                    let old = view.get(&scope.key()).ok_or_else(|| scope.not_found())?;
                    let (value, noted) = patch.apply(&scope, old.value())?;
                    warnings.get_or_init(|| noted);
                    let change = tracked(step(&scope, view, &old, value)?, &old, &by);
                    Ok(dry(scope.options.dry_run, &old, change))
                }
            })
            .await?;
        let mut response = respond::json(StatusCode::OK, patched.json.to_bytes());
        respond::warn(&mut response, warnings.get().map_or(&[], Vec::as_slice));
        Ok(response)
    }
}

impl Patch {
    fn parse(media_type: &str, body: &[u8]) -> Result<Patch, ApiError> {
        let unreadable = |why: String| ApiError::BadRequest(format!("error decoding patch: {why}"));
        let map = || match serde_json::from_slice::<Given>(body) {
            Ok(Given {
                value: Value::Object(map),
                doubled,
            }) => Ok((map, doubled)),
            Ok(_) => Err(unreadable("it is not a JSON object".into())),
            Err(error) => Err(unreadable(error.to_string())),
        };
        let (kind, doubled) = match media_type {
            "application/json-patch+json" => {
                let patch: json_patch::Patch =
                    serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
                json::check_length(&patch)?;
                (Kind::Json(patch), Vec::new())
            }
            "application/merge-patch+json" => {
                let (mut patch, doubled) = map()?;
                event::to_stored(&mut patch);
                (Kind::Merge(Value::Object(patch)), doubled)
            }
            "application/strategic-merge-patch+json" => {
                let (patch, doubled) = map()?;
                (Kind::Strategic(patch), doubled)
            }
            _ => {
                return Err(ApiError::UnsupportedMediaType(
                    "the body of the request was in an unknown format - accepted media types \
                     include: application/json-patch+json, application/merge-patch+json, \
                     application/strategic-merge-patch+json, application/apply-patch+yaml"
                        .into(),
                ));
            }
        };
        Ok(Patch { kind, doubled })
    }

    /// The patched object, and warnings about it.
    fn apply(self, scope: &Scope, mut value: Value) -> Result<(Value, Vec<String>), ApiError> {
        let resource = scope.resource;
        let strategic = match self.kind {
            Kind::Merge(patch) => {
                json_patch::merge(&mut value, &patch);
                None
            }
            Kind::Strategic(patch) => {
                let shown = go_value(&Value::Object(patch.clone()));
                strategic::apply(&mut value, patch, Type::of(resource)).map_err(|why| {
                    ApiError::BadRequest(format!(
                        "unable to apply the strategic merge patch to {} {:?}: {why}",
                        resource.qualified(),
                        scope.name(),
                    ))
                })?;
                Some(shown)
            }
            Kind::Json(patch) => {
                json::apply(&mut value, &patch).map_err(|why| {
                    tracing::debug!(path = why.path, why = why.detail, "a patch does not apply");
                    ApiError::UnusablePatch
                })?;
                None
            }
        };
        if bytes_of(&value) > body::LIMIT_BYTES {
            return Err(body::too_large());
        }
        body::claim(&mut value, resource.kind, &resource.api_version())?;
        check_names(scope, &mut value)?;
        let warnings = body::check(
            resource,
            &mut value,
            &self.doubled,
            scope.options.field_validation,
        );
        let warnings = warnings.map_err(|why| ApiError::InvalidPatch {
            shown: strategic.unwrap_or_else(|| value.to_string()),
            why,
        })?;
        Ok((value, warnings))
    }
}

/// A value as Go's `%+v` prints it: how kube-apiserver shows a strategic patch that went wrong.
fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(go_value).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let mut pairs: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", go_value(value)))
                .collect();
            pairs.sort_unstable();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_patch_is_refused() {
        for (media_type, body, code) in [
            ("application/merge-patch+json", "[]", 400),
            ("application/json-patch+json", "{}", 400),
            ("application/strategic-merge-patch+json", "[]", 400),
            ("application/yaml", "{}", 415),
        ] {
            let error = Patch::parse(media_type, body.as_bytes()).err();
            assert_eq!(error.map(|error| error.code()), Some(code), "{media_type}");
        }
    }
}
