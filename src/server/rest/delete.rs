//! DELETE: at once, after a grace period, or once nothing holds the object.

use std::sync::Arc;

use futures::future::join_all;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::protobuf::DELETE_OPTIONS;
use super::update::dry;
use super::{Answer, Api, Scope, body, respond};
use crate::server::kinds::namespace;
use crate::server::object;
use crate::server::request::Options;
use crate::server::resource::{Resource, Subresource};
use crate::server::selector::Selector;
use crate::server::status::{ApiError, Cause};
use crate::server::store::{Change, StoredObject, View};

/// A human life. Kubernetes has no limit, and dates that nobody can read.
const LONGEST_GRACE_SECONDS: i64 = 100 * 365 * 24 * 60 * 60;

/// What happens to what a deleted object owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Propagation {
    /// It goes after its owner.
    Background,
    /// It goes before its owner, which waits for all that asks it to.
    Foreground,
    /// It stays and has one owner less.
    Orphan,
}

impl Propagation {
    fn named(name: &str) -> Result<Propagation, ApiError> {
        serde_json::from_value(name.into()).map_err(|_| {
            wrong(Cause::unsupported(
                "propagationPolicy",
                name,
                &["Foreground", "Background", "Orphan", "nil"],
            ))
        })
    }

    /// What the owner carries until the policy is carried out.
    pub fn finalizer(self) -> Option<&'static str> {
        match self {
            Propagation::Background => None,
            Propagation::Foreground => Some("foregroundDeletion"),
            Propagation::Orphan => Some("orphan"),
        }
    }
}

/// `meta/v1 DeleteOptions`, as far as the server acts on it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub preconditions: Preconditions,
    pub dry_run: Vec<String>,
    /// `None`: as an earlier deletion said, or else in the background.
    #[serde(skip)]
    pub propagation_policy: Option<Propagation>,
    /// The old way to say `Orphan`.
    pub orphan_dependents: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

impl Api {
    pub(super) async fn delete(&self, scope: Scope, request: Request<Incoming>) -> Answer {
        let options = DeleteOptions::read(request, &scope.options).await?;
        let resource = scope.resource;
        let deleted = self
            .store
            .write(move |view| {
                let old = view.get(&scope.key()).ok_or_else(|| scope.not_found())?;
                scope.restriction.check_delete(&old)?;
                delete_in(view, &old, &options)
            })
            .await?;
        // The object itself while it lingers, or where Kubernetes returns the last of it.
        if resource.strategy.returns_deleted || is_held(resource, &deleted.value()) {
            return Ok(respond::json(StatusCode::OK, deleted.json.to_bytes()));
        }
        Ok(respond::value(StatusCode::OK, &success(&deleted)))
    }

    pub(super) async fn delete_collection(
        &self,
        scope: Scope,
        request: Request<Incoming>,
    ) -> Answer {
        let options = Arc::new(DeleteOptions::read(request, &scope.options).await?);
        let resource = scope.resource;
        let selector = Selector::parse(
            resource,
            &scope.options.label_selector,
            &scope.options.field_selector,
        )?;
        let (objects, revision) = self
            .store
            .list(&resource.prefix(scope.namespace.as_deref()));
        let deletions = objects
            .into_iter()
            .filter(|object| selector.matches(object))
            .map(|object| {
                let options = options.clone();
                self.store.write(move |view| {
                    let old = view
                        .get(&object.key)
                        .ok_or_else(|| ApiError::not_found(resource, object.name()))?;
                    delete_in(view, &old, &options)
                })
            });
        let mut deleted = Vec::new();
        for result in join_all(deletions).await {
            match result {
                Ok(object) => deleted.push(object.value()),
                // Somebody else was faster.
                Err(ApiError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let list = json!({
            "kind": format!("{}List", resource.kind),
            "apiVersion": resource.api_version(),
            "metadata": {"resourceVersion": revision.to_string()},
            "items": deleted,
        });
        Ok(respond::value(StatusCode::OK, &list))
    }
}

impl DeleteOptions {
    /// From the body, or from the query where the body says nothing.
    async fn read(request: Request<Incoming>, query: &Options) -> Result<Self, ApiError> {
        let media_type = body::media_type(&request);
        let body = body::bytes(request).await?;
        let options = if body.is_empty() {
            Value::Null
        } else {
            body::read(&media_type, &body, "DeleteOptions", "v1", DELETE_OPTIONS)?.value
        };
        DeleteOptions::of(options, query)
    }

    /// `given` is the body, `Null` without one.
    pub(super) fn of(given: Value, query: &Options) -> Result<Self, ApiError> {
        let asked = given.get("propagationPolicy").and_then(Value::as_str);
        let policy = asked.or(query.propagation_policy.as_deref());
        let policy = policy.map(Propagation::named).transpose()?;
        let mut options = match given {
            Value::Null => DeleteOptions::default(),
            given => serde_json::from_value(given).map_err(|error| {
                ApiError::BadRequest(format!("cannot read the DeleteOptions: {error}"))
            })?,
        };
        options.grace_period_seconds = options.grace_period_seconds.or(query.grace_period_seconds);
        options.propagation_policy = policy;
        if options.dry_run.iter().any(|one| one != "All") {
            let each: Vec<String> = options
                .dry_run
                .iter()
                .map(|one| format!("{one:?}"))
                .collect();
            let shown = format!("[]string{{{}}}", each.join(", "));
            return Err(wrong(Cause::unsupported_shown("dryRun", &shown, &["All"])));
        }
        if query.dry_run {
            options.dry_run = vec!["All".into()];
        }
        match (options.orphan_dependents, policy) {
            (Some(_), Some(policy)) => Err(wrong(Cause::invalid(
                "propagationPolicy",
                &format!("{policy:?}").into(),
                "orphanDependents and deletionPropagation cannot be both set",
            ))),
            (Some(orphans), None) => {
                let policy = match orphans {
                    true => Propagation::Orphan,
                    false => Propagation::Background,
                };
                options.propagation_policy = Some(policy);
                Ok(options)
            }
            (None, _) => Ok(options),
        }
    }

    /// Nothing but a policy.
    pub fn with(policy: Propagation) -> DeleteOptions {
        DeleteOptions {
            propagation_policy: Some(policy),
            ..DeleteOptions::default()
        }
    }
}

fn wrong(cause: Cause) -> ApiError {
    ApiError::options(&Method::DELETE, cause)
}

/// Whether something other than time keeps a deleted object.
pub(super) fn is_held(resource: &Resource, value: &Value) -> bool {
    let own =
        resource.has(Subresource::Finalize) && !object::list(value, "/spec/finalizers").is_empty();
    own || !object::list(value, "/metadata/finalizers").is_empty()
}

/// Decides how `old` goes.
pub fn delete_in(
    view: &View<'_>,
    old: &Arc<StoredObject>,
    options: &DeleteOptions,
) -> Result<Change, ApiError> {
    let resource = old.resource;
    let mut value = old.value();
    check_preconditions(old, &value, &options.preconditions)?;
    if std::ptr::eq(resource, &namespace::NAMESPACES) && namespace::is_permanent(old.name()) {
        return Err(ApiError::Forbidden {
            resource,
            name: old.name().to_owned(),
            why: "this namespace may not be deleted".into(),
        });
    }
    if let Some(policy) = options.propagation_policy {
        set_policy(&mut value, policy);
    }
    let grace = (resource.strategy.grace)(&value, options.grace_period_seconds, view);
    let dry_run = !options.dry_run.is_empty();
    if grace.is_none() && !is_held(resource, &value) {
        return Ok(dry(dry_run, old, Change::Delete { resource, value }));
    }
    mark(&mut value, grace.unwrap_or(0), Timestamp::now());
    (resource.strategy.mark_terminating)(&mut value);
    Ok(dry(dry_run, old, Change::Put { resource, value }))
}

/// Leaves the finalizer of this policy on an object, and of no other.
fn set_policy(value: &mut Value, policy: Propagation) {
    let all = [Propagation::Foreground, Propagation::Orphan];
    let is_policy = |name: &Value| all.iter().any(|one| one.finalizer() == name.as_str());
    let mut finalizers = object::list(value, "/metadata/finalizers").to_vec();
    finalizers.retain(|name| !is_policy(name));
    finalizers.extend(policy.finalizer().map(Value::from));
    let metadata = object::metadata(value);
    match finalizers.is_empty() {
        true => {
            metadata.shift_remove("finalizers");
        }
        false => {
            metadata.insert("finalizers".into(), finalizers.into());
        }
    }
}

/// Records the deletion. A second one may shorten the first's period, never lengthen it.
fn mark(value: &mut Value, grace: i64, now: Timestamp) {
    let already = object::parse_timestamp(object::text(value, "/metadata/deletionTimestamp"));
    let before = value
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let grace = grace.clamp(0, LONGEST_GRACE_SECONDS);
    let asked = match already {
        Some(_) if before <= grace => return,
        Some(end) => end.checked_sub(SignedDuration::from_secs(before)),
        None => Ok(now),
    };
    // The last second that can be written is later than any that a clock tells.
    let end = asked
        .and_then(|asked| asked.checked_add(SignedDuration::from_secs(grace)))
        .unwrap_or(Timestamp::MAX);
    let metadata = object::metadata(value);
    metadata.insert("deletionTimestamp".into(), object::timestamp(end).into());
    metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
}

fn check_preconditions(
    old: &StoredObject,
    value: &Value,
    preconditions: &Preconditions,
) -> Result<(), ApiError> {
    let revision = old.revision.to_string();
    for (what, asked, is, hint) in [
        (
            "UID",
            &preconditions.uid,
            object::uid(value),
            "deleted and then recreated",
        ),
        (
            "ResourceVersion",
            &preconditions.resource_version,
            revision.as_str(),
            "modified",
        ),
    ] {
        if let Some(asked) = asked.as_deref().filter(|asked| *asked != is) {
            return Err(ApiError::Conflict {
                resource: old.resource,
                name: old.name().to_owned(),
                why: format!(
                    "the {what} in the precondition ({asked}) does not match the {what} in record \
                     ({is}). The object might have been {hint}"
                ),
            });
        }
    }
    Ok(())
}

fn success(object: &StoredObject) -> Value {
    let resource = object.resource;
    let value = object.value();
    let mut details = json!({"name": object.name()});
    if !resource.group.is_empty() {
        details["group"] = resource.group.into();
    }
    details["kind"] = resource.plural.into();
    details["uid"] = object::uid(&value).into();
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    #[test]
    fn a_second_deletion_shortens_and_never_lengthens() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut pod = json!({"metadata": {}});
        mark(&mut pod, 30, now);
        assert_eq!(pod["metadata"]["deletionTimestamp"], "2026-01-01T00:00:30Z");
        let later = now + 10.seconds();
        mark(&mut pod, 60, later);
        assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 30);
        mark(&mut pod, 5, later);
        assert_eq!(pod["metadata"]["deletionTimestamp"], "2026-01-01T00:00:05Z");
        assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 5);
    }

    #[test]
    fn no_period_is_too_long_or_too_short_to_be_recorded() {
        for grace in [i64::MAX, i64::MIN] {
            let mut pod = json!({"metadata": {}});
            mark(&mut pod, grace, Timestamp::now());
            let end = object::text(&pod, "/metadata/deletionTimestamp");
            assert!(object::parse_timestamp(end).is_some(), "{end}");
            mark(&mut pod, 5, Timestamp::now());
            mark(&mut pod, 0, Timestamp::MAX);
            assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 0);
        }
    }
}
