//! PATCH with `application/apply-patch+yaml`.

use std::sync::{Arc, OnceLock};

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use super::{Application, Manager};
use crate::server::object;
use crate::server::rest::patch::bytes_of;
use crate::server::rest::update::{check_names, dry, step};
use crate::server::rest::{Answer, Api, Scope, admit, body, prepare, respond};
use crate::server::status::ApiError;
use crate::server::store::{Change, View};

impl Api {
    /// Applies a body in YAML, of which JSON is a part.
    pub(in crate::server::rest) async fn apply(
        &self,
        scope: Scope,
        by: Manager,
        body: &[u8],
    ) -> Answer {
        let resource = scope.resource;
        let mut given = body::yaml(body)
            .map_err(|why| ApiError::BadRequest(format!("error decoding YAML: {why}")))?;
        let config = &mut given.value;
        body::claim(config, resource.kind, &resource.api_version())?;
        if object::name(config).is_empty() {
            object::metadata(config).insert("name".into(), scope.name().into());
        }
        check_names(&scope, config)?;
        if !object::list(config, "/metadata/managedFields").is_empty() {
            return Err(ApiError::BadRequest(
                "metadata.managedFields must be nil".into(),
            ));
        }
        let warnings = body::decode(resource, &mut given, scope.options.field_validation)?;
        let config = given.value;
        let by = by.applier();
        let created = Arc::new(OnceLock::new());
        let applied = self
            .store
            .write({
                let created = created.clone();
                move |view| match view.get(&scope.key()) {
                    Some(old) => {
                        let new = application(&scope, &config, &by).onto(old.value())?;
                        if bytes_of(&new) > body::LIMIT_BYTES {
                            return Err(body::too_large());
                        }
                        let change = step(&scope, view, &old, new)?;
                        Ok(dry(scope.options.dry_run, &old, change))
                    }
                    None if scope.subresource.is_some() => Err(scope.not_found()),
                    None => {
                        created.get_or_init(|| ());
                        create(&scope, &config, &by, view)
                    }
                }
            })
            .await?;
        let status = match created.get() {
            Some(()) => StatusCode::CREATED,
            None => StatusCode::OK,
        };
        let mut response = respond::json(status, applied.json.to_bytes());
        respond::warn(&mut response, &warnings);
        Ok(response)
    }
}

fn application<'a>(scope: &Scope, config: &'a Value, by: &'a Manager) -> Application<'a> {
    Application {
        resource: scope.resource,
        subresource: scope.subresource,
        config,
        by,
        force: scope.options.force,
        now: object::timestamp(Timestamp::now()),
    }
}

/// An object that there was not before.
fn create(
    scope: &Scope,
    config: &Value,
    by: &Manager,
    view: &View<'_>,
) -> Result<Change, ApiError> {
    let new = application(scope, config, by).onto(Value::Null)?;
    let managers = new.pointer("/metadata/managedFields").cloned();
    let mut value = prepare(scope.resource, new)?;
    if let Some(managers) = managers {
        object::metadata(&mut value).insert("managedFields".into(), managers);
    }
    scope
        .restriction
        .check_create(scope.resource, &value, view)?;
    Ok(match admit(scope.resource, value, view)? {
        Change::Put { resource, value } if scope.options.dry_run => {
            Change::Preview { resource, value }
        }
        change => change,
    })
}
