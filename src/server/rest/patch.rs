//! PATCH: JSON patches (RFC 6902), merge patches (RFC 7386), and Kubernetes' own [`strategic`]
//! ones.
//!
//! A JSON patch is a small program, which [`json`] runs within bounds.

mod json;
mod strategic;

pub use json::bytes_of;
pub use strategic::arrange;

use std::sync::{Arc, OnceLock};

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde_json::{Map, Value};

use super::apply::Manager;
use super::update::{dry, step, tracked};
use super::{Answer, Api, Scope, body, respond};
use crate::server::kinds::event;
use crate::server::object;
use crate::server::schema::Type;
use crate::server::status::{ApiError, Cause};

/// The media type of what is no patch but an [application](super::apply).
const APPLY: &str = "application/apply-patch+yaml";

enum Patch {
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
                return Err(ApiError::BadRequest(
                    "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is \
                     required for apply patch"
                        .into(),
                ));
            }
            return self.apply(scope, by, &body).await;
        }
        if scope.options.force {
            return Err(ApiError::BadRequest(
                "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified \
                 for non-apply patch"
                    .into(),
            ));
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
                    let mut value = patch.apply(&scope, old.value())?;
                    let noted =
                        body::decode(scope.resource, &mut value, scope.options.field_validation)?;
                    warnings.get_or_init(|| noted);
                    let change = tracked(step(&scope, view, &old, value)?, &old, &by);
                    Ok(dry(scope.options.dry_run, &old, change))
                }
            })
            .await?;
        let mut response = respond::json(StatusCode::OK, patched.json.clone());
        respond::warn(&mut response, warnings.get().map_or(&[], Vec::as_slice));
        Ok(response)
    }
}

impl Patch {
    fn parse(media_type: &str, body: &[u8]) -> Result<Patch, ApiError> {
        let unreadable = |error: serde_json::Error| {
            ApiError::BadRequest(format!("error decoding patch: {error}"))
        };
        match media_type {
            "application/json-patch+json" => {
                let patch: json_patch::Patch = serde_json::from_slice(body).map_err(unreadable)?;
                json::check_length(&patch)?;
                Ok(Patch::Json(patch))
            }
            "application/merge-patch+json" => {
                let mut patch = serde_json::from_slice(body).map_err(unreadable)?;
                event::to_stored(&mut patch);
                Ok(Patch::Merge(Value::Object(patch)))
            }
            "application/strategic-merge-patch+json" => Ok(Patch::Strategic(
                serde_json::from_slice(body).map_err(unreadable)?,
            )),
            _ => Err(ApiError::UnsupportedMediaType(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, \
                 application/strategic-merge-patch+json, application/apply-patch+yaml"
                    .into(),
            )),
        }
    }

    fn apply(self, scope: &Scope, mut value: Value) -> Result<Value, ApiError> {
        match self {
            Patch::Merge(patch) => json_patch::merge(&mut value, &patch),
            Patch::Strategic(patch) => {
                strategic::apply(&mut value, patch, Type::of(scope.resource)).map_err(|why| {
                    ApiError::BadRequest(format!(
                        "unable to apply the strategic merge patch to {} {:?}: {why}",
                        scope.resource.qualified(),
                        scope.name(),
                    ))
                })?;
            }
            Patch::Json(patch) => {
                json::apply(&mut value, &patch).map_err(|why| ApiError::Invalid {
                    resource: scope.resource,
                    name: scope.name().to_owned(),
                    causes: vec![Cause::invalid("patch", &why.path.into(), &why.detail)],
                })?
            }
        }
        if bytes_of(&value) > body::LIMIT_BYTES {
            return Err(body::too_large());
        }
        body::claim(
            &mut value,
            scope.resource.kind,
            &scope.resource.api_version(),
        )?;
        for (field, expected) in [("name", scope.name()), ("namespace", scope.namespace())] {
            let given = object::text(&value, &format!("/metadata/{field}"));
            if given != expected {
                return Err(ApiError::Invalid {
                    resource: scope.resource,
                    name: scope.name().to_owned(),
                    causes: vec![Cause::invalid(
                        format!("metadata.{field}"),
                        &given.into(),
                        "field is immutable",
                    )],
                });
            }
        }
        Ok(value)
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
