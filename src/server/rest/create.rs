//! POST: a new object.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use super::apply::{Manager, track_new};
use super::update::check_namespace;
use super::{Answer, Api, Scope, body, respond};
use crate::server::kinds::namespace::NAMESPACES;
use crate::server::kinds::pod::PODS;
use crate::server::kinds::service::SERVICES;
use crate::server::kinds::{metadata, service_account, service_range};
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
        let mut given = body::of(resource, request).await?;
        let warnings = body::decode(resource, &mut given, scope.options.field_validation)?;
        let mut value = given.value;
        check_namespace(&scope, &mut value)?;
        if !matches!(object::text(&value, "/metadata/resourceVersion"), "" | "0") {
            return Err(ApiError::VersionOnCreate);
        }
        let generated = object::name(&value).is_empty() && name_from_base(&mut value);
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
                if generated {
                    find_name(resource, &mut value, |key| view.get(key).is_some())?;
                }
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
        let mut response = respond::json(StatusCode::CREATED, created.json.to_bytes());
        respond::warn(&mut response, &warnings);
        Ok(response)
    }
}

/// How many names are made of one `generateName` before the caller is told to try again.
const ATTEMPTS: usize = 8;

/// Makes a name of `generateName`; whether there is one.
fn name_from_base(value: &mut Value) -> bool {
    let base = object::text(value, "/metadata/generateName");
    if base.is_empty() {
        return false;
    }
    /// What the name's 63 bytes leave beside the suffix.
    const BASE_BYTES: usize = 58;
    let end = (0..=base.len().min(BASE_BYTES))
        .rev()
        .find(|end| base.is_char_boundary(*end))
        .unwrap_or(0);
    let name = format!("{}{}", &base[..end], random::suffix());
    object::metadata(value).insert("name".into(), name.into());
    true
}

/// Makes other names as long as the one that was made is taken.
fn find_name(
    resource: &'static Resource,
    value: &mut Value,
    is_taken: impl Fn(&str) -> bool,
) -> Result<(), ApiError> {
    for _ in 0..ATTEMPTS {
        if !is_taken(&resource.key(object::namespace(value), object::name(value))) {
            return Ok(());
        }
        name_from_base(value);
        (resource.strategy.default)(value);
    }
    Err(ApiError::NoNameLeft {
        resource,
        name: object::name(value).to_owned(),
    })
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
            return Err(ApiError::NamespaceTerminating {
                resource,
                name: name.to_owned(),
                namespace: namespace.to_owned(),
            });
        }
    }
    if std::ptr::eq(resource, &PODS) {
        service_account::require(&value, view)?;
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_is_taken_is_made_anew_but_not_for_ever() {
        let mut value = json!({"metadata": {"generateName": "team-"}});
        assert!(name_from_base(&mut value));
        let first = object::name(&value).to_owned();
        let taken = NAMESPACES.key("", &first);
        assert!(find_name(&NAMESPACES, &mut value, |key| key == taken).is_ok());
        let second = object::name(&value);
        assert!(second.starts_with("team-") && *second != first);
        assert_eq!(
            value["metadata"]["labels"]["kubernetes.io/metadata.name"],
            second
        );
        let asked = Cell::new(0);
        let refused = find_name(&NAMESPACES, &mut value, |_| {
            asked.set(asked.get() + 1);
            true
        });
        assert_eq!((refused.unwrap_err().code(), asked.get()), (409, ATTEMPTS));
        assert!(!name_from_base(&mut json!({"metadata": {"name": "a"}})));
    }
}
