//! POST: a new object.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use super::apply::{Manager, track_new};
use super::{Answer, Api, Scope, body, respond};
use crate::server::kinds::metadata;
use crate::server::kinds::namespace::NAMESPACES;
use crate::server::kinds::service::SERVICES;
use crate::server::kinds::service_range;
use crate::server::object;
use crate::server::random;
use crate::server::resource::Resource;
use crate::server::status::ApiError;
use crate::server::store::{Change, View};

impl Api {
    pub(super) async fn create(&self, scope: Scope, request: Request<Incoming>) -> Answer {
        let resource = scope.resource;
        if scope.namespace.is_none() {
            return Err(ApiError::MethodNotAllowed);
        }
        let by = Manager::of(&scope, &request);
        let mut value = body::of(resource, request).await?;
        let warnings = body::decode(resource, &mut value, scope.options.field_validation)?;
        place(&scope, &mut value)?;
        generate_name(&mut value);
        let mut value = prepare(resource, value)?;
        track_new(
            resource,
            &mut value,
            &by,
            &object::timestamp(Timestamp::now()),
        );
        let created = self
            .store
            .write(move |view| {
                scope.restriction.check_create(resource, &value, view)?;
                let dry_run = scope.options.dry_run;
                let change = admit(resource, value, view)?;
                Ok(match change {
                    Change::Put { resource, value } if dry_run => {
                        Change::Preview { resource, value }
                    }
                    change => change,
                })
            })
            .await?;
        let mut response = respond::json(StatusCode::CREATED, created.json.clone());
        respond::warn(&mut response, &warnings);
        Ok(response)
    }
}

/// Puts the object into the namespace of its URL.
fn place(scope: &Scope, value: &mut Value) -> Result<(), ApiError> {
    let namespace = scope.namespace();
    let given = object::namespace(value);
    if !given.is_empty() && given != namespace {
        return Err(ApiError::BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
                .into(),
        ));
    }
    if scope.resource.namespaced {
        object::metadata(value).insert("namespace".into(), namespace.into());
    }
    Ok(())
}

/// A name from `generateName`. It is not retried on a collision, as in Kubernetes: the client is.
fn generate_name(value: &mut Value) {
    let base = object::text(value, "/metadata/generateName");
    if object::name(value).is_empty() && !base.is_empty() {
        /// What the name's 63 bytes leave beside the suffix.
        const BASE_BYTES: usize = 58;
        let end = (0..=base.len().min(BASE_BYTES))
            .rev()
            .find(|end| base.is_char_boundary(*end))
            .unwrap_or(0);
        let name = format!("{}{}", &base[..end], random::suffix());
        object::metadata(value).insert("name".into(), name.into());
    }
}

/// Makes a client's object the server's: defaults, identity, and a check of everything.
pub fn prepare(resource: &'static Resource, mut value: Value) -> Result<Value, ApiError> {
    let strategy = &resource.strategy;
    metadata::strip_new(&mut value);
    (strategy.prepare_create)(&mut value);
    (strategy.default)(&mut value);
    let map = object::metadata(&mut value);
    map.insert("uid".into(), random::uid().into());
    map.insert(
        "creationTimestamp".into(),
        object::timestamp(Timestamp::now()).into(),
    );
    if strategy.tracks_generation {
        map.insert("generation".into(), 1.into());
    }
    let mut causes = metadata::validate(resource, &value);
    causes.extend((strategy.validate)(&value, None));
    if causes.is_empty() {
        return Ok(value);
    }
    Err(ApiError::Invalid {
        resource,
        name: object::name(&value).to_owned(),
        causes,
    })
}

/// Decides whether a prepared object may come into being.
pub fn admit(
    resource: &'static Resource,
    mut value: Value,
    view: &View<'_>,
) -> Result<Change, ApiError> {
    let (namespace, name) = (object::namespace(&value), object::name(&value));
    if resource.namespaced {
        let home = view
            .get(&NAMESPACES.key("", namespace))
            .ok_or_else(|| ApiError::not_found(&NAMESPACES, namespace))?;
        if home.field("status.phase") == "Terminating" {
            return Err(ApiError::Forbidden {
                resource,
                name: name.to_owned(),
                why: format!(
                    "unable to create new content in namespace {namespace} because it is being \
                     terminated"
                ),
            });
        }
    }
    if view.get(&resource.key(namespace, name)).is_some() {
        return Err(ApiError::AlreadyExists {
            resource,
            name: name.to_owned(),
        });
    }
    if std::ptr::eq(resource, &SERVICES) {
        service_range::allocate(&mut value, view)?;
    }
    Ok(Change::Put { resource, value })
}
