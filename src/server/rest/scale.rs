//! The `scale` subresource: how many pods a workload is to have, without knowing its kind
//! (`autoscaling/v1 Scale`).

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};

use super::update::{dry, step};
use super::{Answer, Api, Scope, body, respond};
use crate::server::object;
use crate::server::request::Verb;
use crate::server::selector::LabelSelector;
use crate::server::status::ApiError;
use crate::server::store::StoredObject;

const API_VERSION: &str = "autoscaling/v1";

/// What a request makes of a scale.
enum Wish {
    Whole(Value),
    Merge(Value),
    Json(json_patch::Patch),
}

impl Api {
    pub(super) async fn scale(
        &self,
        verb: Verb,
        scope: Scope,
        request: Request<Incoming>,
    ) -> Answer {
        let wish = match verb {
            Verb::Get => {
                let object = self.store.get(&scope.key());
                let object = object.ok_or_else(|| scope.not_found())?;
                return Ok(respond::value(StatusCode::OK, &of(&object)));
            }
            Verb::Update => Wish::Whole(body::object(request, "Scale", API_VERSION, &[]).await?),
            Verb::Patch => Wish::read(request).await?,
            _ => return Err(ApiError::MethodNotAllowed),
        };
        let scaled = self
            .store
            .write(move |view| {
                let old = view.get(&scope.key()).ok_or_else(|| scope.not_found())?;
                let scale = wish.applied_to(of(&old))?;
                let change = step(&scope, view, &old, carried_over(&old, &scale)?)?;
                Ok(dry(scope.options.dry_run, &old, change))
            })
            .await?;
        Ok(respond::value(StatusCode::OK, &of(&scaled)))
    }
}

impl Wish {
    async fn read(request: Request<Incoming>) -> Result<Wish, ApiError> {
        let media_type = body::media_type(&request);
        let body = body::bytes(request).await?;
        let unreadable = |error: serde_json::Error| {
            ApiError::BadRequest(format!("error decoding patch: {error}"))
        };
        match media_type.as_str() {
            "application/json-patch+json" => serde_json::from_slice(&body).map(Wish::Json),
            // A scale has no lists, so both merge alike.
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                serde_json::from_slice(&body).map(Wish::Merge)
            }
            other => {
                return Err(ApiError::UnsupportedMediaType(format!(
                    "the body of the request was in an unknown format ({other}) - accepted media \
                     types include: application/json-patch+json, application/merge-patch+json, \
                     application/strategic-merge-patch+json"
                )));
            }
        }
        .map_err(unreadable)
    }

    fn applied_to(self, mut scale: Value) -> Result<Value, ApiError> {
        match self {
            Wish::Whole(whole) => scale = whole,
            Wish::Merge(patch) => json_patch::merge(&mut scale, &patch),
            Wish::Json(patch) => json_patch::patch(&mut scale, &patch)
                .map_err(|error| ApiError::BadRequest(error.to_string()))?,
        }
        Ok(scale)
    }
}

/// An object's scale.
fn of(object: &StoredObject) -> Value {
    let value = object.value();
    let metadata = &value["metadata"];
    let selector = LabelSelector::of(&value["spec"]["selector"]).unwrap_or_default();
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": {},
        "spec": {"replicas": value["spec"]["replicas"]},
        "status": {
            "replicas": value["status"].get("replicas").cloned().unwrap_or(0.into()),
            "selector": selector.to_string(),
        },
    });
    for key in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        object::copy(&mut scale["metadata"], metadata, key);
    }
    scale
}

/// The object with what its scale may change.
fn carried_over(old: &StoredObject, scale: &Value) -> Result<Value, ApiError> {
    let mut value = old.value();
    if object::name(scale) != old.name() {
        return Err(ApiError::BadRequest(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            object::name(scale),
            old.name()
        )));
    }
    let replicas = match &scale["spec"]["replicas"] {
        Value::Null => 0,
        given => given.as_i64().ok_or_else(|| {
            ApiError::BadRequest(format!("spec.replicas of a Scale is a number, not {given}"))
        })?,
    };
    value["spec"]["replicas"] = replicas.into();
    for key in ["resourceVersion", "uid"] {
        object::copy(&mut value["metadata"], &scale["metadata"], key);
    }
    Ok(value)
}
