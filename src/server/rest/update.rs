//! PUT, and what PUT and PATCH have in common: the step from an old object to a new one.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use super::apply::{self, Manager};
use super::{Answer, Api, Scope, body, respond};
use crate::server::kinds::lease::LEASES;
use crate::server::kinds::metadata;
use crate::server::kinds::service::SERVICES;
use crate::server::kinds::service_range;
use crate::server::object;
use crate::server::resource::{Resource, Subresource};
use crate::server::status::{ApiError, Cause};
use crate::server::store::{Change, StoredObject, View};

impl Api {
    pub(super) async fn update(&self, scope: Scope, request: Request<Incoming>) -> Answer {
        let resource = scope.resource;
        let by = Manager::of(&scope, &request);
        let mut given = body::of(resource, request).await?;
        let warnings = body::decode(resource, &mut given, scope.options.field_validation)?;
        let mut value = given.value;
        check_names(&scope, &mut value)?;
        let updated = self
            .store
            .write(move |view| {
                let old = view.get(&scope.key()).ok_or_else(|| scope.not_found())?;
                let change = tracked(step(&scope, view, &old, value)?, &old, &by);
                Ok(dry(scope.options.dry_run, &old, change))
            })
            .await?;
        let mut response = respond::json(StatusCode::OK, updated.json.to_bytes());
        respond::warn(&mut response, &warnings);
        Ok(response)
    }
}

/// The object must be the one its URL names.
pub(super) fn check_names(scope: &Scope, value: &mut Value) -> Result<(), ApiError> {
    check_namespace(scope, value)?;
    match object::name(value) {
        "" => Err(ApiError::BadRequest(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            scope.name()
        ))),
        name if name != scope.name() => Err(ApiError::BadRequest(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            scope.name()
        ))),
        _ => Ok(()),
    }
}

/// Puts the object into the namespace of its URL, or into none.
pub(super) fn check_namespace(scope: &Scope, value: &mut Value) -> Result<(), ApiError> {
    if !scope.resource.namespaced {
        object::metadata(value).shift_remove("namespace");
        return Ok(());
    }
    let given = object::namespace(value);
    if !given.is_empty() && given != scope.namespace() {
        return Err(ApiError::BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
                .into(),
        ));
    }
    object::metadata(value).insert("namespace".into(), scope.namespace().into());
    Ok(())
}

/// From `old` to `new` for a client: it may write this, and its resourceVersion and uid, where
/// given, must still be true.
pub(super) fn step(
    scope: &Scope,
    view: &View<'_>,
    old: &StoredObject,
    new: Value,
) -> Result<Change, ApiError> {
    let resource = old.resource;
    let expected = object::text(&new, "/metadata/resourceVersion");
    // "0" is what Go clients send for "any".
    let unsaid = matches!(expected, "" | "0");
    if !unsaid && expected != old.revision.to_string() {
        return Err(ApiError::modified(resource, old.name()));
    }
    // Whoever takes a lease must know whose it was.
    if unsaid && std::ptr::eq(resource, &LEASES) {
        return Err(ApiError::Invalid {
            resource,
            name: old.name().to_owned(),
            causes: vec![Cause::invalid_shown(
                "metadata.resourceVersion",
                "0x0",
                "must be specified for an update",
            )],
        });
    }
    let before = old.value();
    let uid = object::uid(&new);
    if !uid.is_empty() && uid != object::uid(&before) {
        return Err(ApiError::Conflict {
            resource,
            name: old.name().to_owned(),
            why: format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                object::uid(&before)
            ),
        });
    }
    let new = restrict(resource, scope.subresource, &before, new);
    scope
        .restriction
        .check_update(scope.subresource, old, &new, view)?;
    let mut change = finish(resource, &before, new)?;
    if let Change::Put { value, .. } = &mut change
        && std::ptr::eq(resource, &SERVICES)
    {
        service_range::reallocate(value, &before, view)?;
    }
    Ok(change)
}

/// Notes in the new object who made it.
pub(super) fn tracked(change: Change, old: &StoredObject, by: &Manager) -> Change {
    match change {
        Change::Put {
            resource,
            mut value,
        } => {
            let now = object::timestamp(Timestamp::now());
            apply::track(resource, &old.value(), &mut value, by, &now);
            Change::Put { resource, value }
        }
        change => change,
    }
}

/// Leaves in `new` only the changes that its subresource is for.
fn restrict(
    resource: &Resource,
    subresource: Option<Subresource>,
    old: &Value,
    mut new: Value,
) -> Value {
    match subresource {
        Some(Subresource::Status) => {
            let mut merged = old.clone();
            for key in [
                "labels",
                "annotations",
                "finalizers",
                "resourceVersion",
                "managedFields",
            ] {
                object::copy(&mut merged["metadata"], &new["metadata"], key);
            }
            object::copy(&mut merged, &new, "status");
            merged
        }
        Some(Subresource::Finalize) => {
            let mut merged = old.clone();
            object::copy(&mut merged, &new, "spec");
            merged
        }
        _ => {
            object::copy(&mut new, old, "status");
            (resource.strategy.prepare_update)(&mut new, old);
            new
        }
    }
}

/// From `old` to `new`, whoever asks: keeps what never changes, fills in, checks, and removes an
/// object that is being deleted and that nothing holds any more.
pub fn finish(
    resource: &'static Resource,
    old: &Value,
    mut new: Value,
) -> Result<Change, ApiError> {
    let strategy = &resource.strategy;
    metadata::carry_over(&mut new, old);
    (strategy.default)(&mut new);
    if strategy.tracks_generation && new.get("spec") != old.get("spec") {
        let generation = old.pointer("/metadata/generation").and_then(Value::as_i64);
        object::metadata(&mut new)
            .insert("generation".into(), (generation.unwrap_or(0) + 1).into());
    }
    let mut causes = metadata::validate(resource, &new);
    causes.extend(metadata::validate_update(&new, old));
    causes.extend((strategy.validate)(&new, Some(old)));
    if !causes.is_empty() {
        return Err(ApiError::Invalid {
            resource,
            name: object::name(old).to_owned(),
            causes,
        });
    }
    let waits = new
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .is_some_and(|seconds| seconds > 0);
    if object::is_terminating(&new) && !waits && !super::delete::is_held(resource, &new) {
        return Ok(Change::Delete {
            resource,
            value: new,
        });
    }
    Ok(Change::Put {
        resource,
        value: new,
    })
}

/// A change that changes nothing is none; a dry run only shows.
pub(super) fn dry(dry_run: bool, old: &Arc<StoredObject>, change: Change) -> Change {
    match change {
        Change::Put { value, .. } if value == old.value() => Change::Keep(old.clone()),
        Change::Put { resource, value } | Change::Delete { resource, value } if dry_run => {
            Change::Preview { resource, value }
        }
        change => change,
    }
}
