//! What can go wrong with a request, in Kubernetes' own words.
//!
//! Clients decide by `reason` and people read `message`, so both are exactly what kube-apiserver
//! says (apimachinery `api/errors`; of single fields, [`cause`]).

mod cause;

use hyper::Method;
use serde_json::{Value, json};

use super::resource::Resource;
pub use cause::Cause;
use cause::{listed, summary};

/// Why a request was not carried out. `Display` is the message a user sees.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    #[error("{} {name:?} not found", resource.qualified())]
    NotFound {
        resource: &'static Resource,
        name: String,
    },
    #[error("the server could not find the requested resource")]
    NoSuchPath,
    #[error("{} {name:?} already exists", resource.qualified())]
    AlreadyExists {
        resource: &'static Resource,
        name: String,
    },
    #[error(
        "{} {name:?} already exists, the server was not able to generate a unique name for the object",
        resource.qualified()
    )]
    NoNameLeft {
        resource: &'static Resource,
        name: String,
    },
    #[error("resourceVersion should not be set on objects to be created")]
    VersionOnCreate,
    #[error("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified())]
    Conflict {
        resource: &'static Resource,
        name: String,
        why: String,
    },
    #[error("{} {name:?} is invalid: {}", resource.qualified_kind(), summary(causes))]
    Invalid {
        resource: &'static Resource,
        name: String,
        causes: Vec<Cause>,
    },
    /// Parameters that make no sense. `kind` is what a verb's parameters are called together:
    /// `ListOptions`.
    #[error("{kind}.meta.k8s.io \"\" is invalid: {}", summary(causes))]
    InvalidOptions {
        kind: &'static str,
        causes: Vec<Cause>,
    },
    #[error("{} {name:?} is forbidden: {why}", resource.qualified())]
    Forbidden {
        resource: &'static Resource,
        name: String,
        why: String,
    },
    /// What the caller may not ask for, whether it exists or not.
    #[error("{}{why}", forbidden(group, resource, name))]
    Denied {
        group: String,
        /// Empty for what is no resource.
        resource: String,
        /// Empty for what is about no single object.
        name: String,
        why: String,
    },
    #[error(
        "{} {name:?} is forbidden: unable to create new content in namespace {namespace} because it \
         is being terminated",
        resource.qualified()
    )]
    NamespaceTerminating {
        resource: &'static Resource,
        name: String,
        namespace: String,
    },
    /// What a patch makes of an object is none; `shown` is that, or the patch.
    #[error(" \"\" is invalid: patch: Invalid value: {shown:?}: {why}")]
    InvalidPatch { shown: String, why: String },
    /// An operation of a JSON patch, which Kubernetes does not say more of.
    #[error("the server rejected our request due to an error in our request")]
    UnusablePatch,
    #[error("{0}")]
    BadRequest(String),
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    #[error(
        "only the following media types are accepted: application/json, application/json;stream=watch"
    )]
    NotAcceptable,
    #[error("{0}")]
    UnsupportedMediaType(String),
    #[error("Request entity too large: {0}")]
    TooLarge(String),
    #[error("too old resource version: {asked} ({oldest})")]
    Expired { asked: u64, oldest: u64 },
    /// The pages of a list that is forgotten; `token` goes on without it.
    #[error(
        "The provided continue parameter is too old to display a consistent list result. You can \
         start a new list without the continue parameter, or use the continue token in this \
         response to retrieve the remainder of the results. Continuing with the provided token \
         results in an inconsistent list - objects that were created, modified, or deleted between \
         the time the first chunk was returned and now may show up in the list."
    )]
    ContinueExpired { token: String },
    /// What would be applied belongs to others.
    #[error(
        "Apply failed with {} conflict{}: {}",
        conflicts.len(),
        if conflicts.len() == 1 { "" } else { "s" },
        by_manager(conflicts)
    )]
    ApplyConflict {
        resource: &'static Resource,
        name: String,
        conflicts: Vec<FieldConflict>,
    },
    #[error("Timeout: request did not complete within the allotted timeout")]
    TooSlow,
    #[error("Too many requests, please try again later.")]
    TooManyRequests,
    #[error("Timeout: Too large resource version: {asked}, current: {current}")]
    VersionTooLarge { asked: u64, current: u64 },
    #[error("{0}")]
    Unavailable(String),
    #[error("Internal error occurred: {0}")]
    Internal(String),
}

/// A field that somebody else owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldConflict {
    /// The owner, with what else tells it from others.
    pub manager: String,
    pub field: String,
}

/// What was wrong with a conflicting update, as Kubernetes words it.
pub const MODIFIED: &str = "the object has been modified; please apply your changes to the latest \
                            version and try again";

/// `pods "web" is forbidden: `, or as much of it as there is.
fn forbidden(group: &str, resource: &str, name: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    match (resource, name) {
        ("", _) => "forbidden: ".to_owned(),
        (_, "") => format!("{resource}{dot}{group} is forbidden: "),
        _ => format!("{resource}{dot}{group} {name:?} is forbidden: "),
    }
}

/// `conflict with "a": .spec.b`, or a list for each owner.
fn by_manager(conflicts: &[FieldConflict]) -> String {
    if let [one] = conflicts {
        return format!("conflict with {}: {}", one.manager, one.field);
    }
    let mut lines: Vec<String> = Vec::new();
    let mut managers: Vec<&str> = conflicts.iter().map(|one| one.manager.as_str()).collect();
    managers.sort_unstable();
    managers.dedup();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        let theirs = conflicts.iter().filter(|one| one.manager == manager);
        lines.extend(theirs.map(|one| format!("- {}", one.field)));
    }
    lines.join("\n")
}

impl ApiError {
    pub fn modified(resource: &'static Resource, name: &str) -> ApiError {
        ApiError::Conflict {
            resource,
            name: name.to_owned(),
            why: MODIFIED.to_owned(),
        }
    }

    /// The parameters of a request of that method are wrong.
    pub fn options(method: &Method, cause: Cause) -> ApiError {
        let kind = match *method {
            Method::POST => "CreateOptions",
            Method::PUT => "UpdateOptions",
            Method::PATCH => "PatchOptions",
            Method::DELETE => "DeleteOptions",
            _ => "ListOptions",
        };
        ApiError::InvalidOptions {
            kind,
            causes: vec![cause],
        }
    }

    pub fn not_found(resource: &'static Resource, name: &str) -> ApiError {
        ApiError::NotFound {
            resource,
            name: name.to_owned(),
        }
    }

    pub fn code(&self) -> u16 {
        match self {
            ApiError::NotFound { .. } | ApiError::NoSuchPath => 404,
            ApiError::AlreadyExists { .. }
            | ApiError::NoNameLeft { .. }
            | ApiError::Conflict { .. }
            | ApiError::ApplyConflict { .. } => 409,
            ApiError::Invalid { .. }
            | ApiError::InvalidOptions { .. }
            | ApiError::InvalidPatch { .. }
            | ApiError::UnusablePatch => 422,
            ApiError::Forbidden { .. }
            | ApiError::NamespaceTerminating { .. }
            | ApiError::Denied { .. } => 403,
            ApiError::BadRequest(_) => 400,
            ApiError::MethodNotAllowed => 405,
            ApiError::NotAcceptable => 406,
            ApiError::UnsupportedMediaType(_) => 415,
            ApiError::TooLarge(_) => 413,
            ApiError::Expired { .. } | ApiError::ContinueExpired { .. } => 410,
            ApiError::TooManyRequests => 429,
            ApiError::VersionTooLarge { .. } | ApiError::TooSlow => 504,
            ApiError::Internal(_) | ApiError::VersionOnCreate => 500,
            ApiError::Unavailable(_) => 503,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            ApiError::NotFound { .. } | ApiError::NoSuchPath => "NotFound",
            ApiError::AlreadyExists { .. } | ApiError::NoNameLeft { .. } => "AlreadyExists",
            // As kube-apiserver, which has no reason for this one.
            ApiError::VersionOnCreate => "",
            ApiError::Conflict { .. } | ApiError::ApplyConflict { .. } => "Conflict",
            ApiError::Invalid { .. }
            | ApiError::InvalidOptions { .. }
            | ApiError::InvalidPatch { .. }
            | ApiError::UnusablePatch => "Invalid",
            ApiError::Forbidden { .. }
            | ApiError::NamespaceTerminating { .. }
            | ApiError::Denied { .. } => "Forbidden",
            ApiError::BadRequest(_) => "BadRequest",
            ApiError::MethodNotAllowed => "MethodNotAllowed",
            ApiError::NotAcceptable => "NotAcceptable",
            ApiError::UnsupportedMediaType(_) => "UnsupportedMediaType",
            ApiError::TooLarge(_) => "RequestEntityTooLarge",
            ApiError::Expired { .. } | ApiError::ContinueExpired { .. } => "Expired",
            ApiError::TooManyRequests => "TooManyRequests",
            ApiError::VersionTooLarge { .. } | ApiError::TooSlow => "Timeout",
            ApiError::Internal(_) => "InternalError",
            ApiError::Unavailable(_) => "ServiceUnavailable",
        }
    }

    /// After how many seconds the same request may succeed, where that is known.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let details = self.details()?;
        details.get("retryAfterSeconds")?.as_u64()
    }

    /// The `Status` object for the response body, or for a watch's ERROR event.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.to_string(),
        });
        if !self.reason().is_empty() {
            status["reason"] = self.reason().into();
        }
        status["code"] = self.code().into();
        if let Some(details) = self.details() {
            status["details"] = details;
        }
        if let ApiError::ContinueExpired { token } = self {
            status["metadata"]["continue"] = token.as_str().into();
        }
        status
    }

    fn details(&self) -> Option<Value> {
        match self {
            ApiError::NotFound { resource, name }
            | ApiError::AlreadyExists { resource, name }
            | ApiError::Conflict { resource, name, .. }
            | ApiError::Forbidden { resource, name, .. } => {
                Some(named(name, resource.group, resource.plural))
            }
            ApiError::NoNameLeft { resource, name } => {
                let mut details = named(name, resource.group, resource.plural);
                details["retryAfterSeconds"] = 1.into();
                Some(details)
            }
            ApiError::NamespaceTerminating {
                resource,
                name,
                namespace,
            } => {
                let mut details = named(name, resource.group, resource.plural);
                details["causes"] = json!([{
                    "reason": "NamespaceTerminating",
                    "message": format!("namespace {namespace} is being terminated"),
                    "field": "metadata.namespace",
                }]);
                Some(details)
            }
            ApiError::InvalidPatch { shown, why } => Some(json!({
                "causes": [{
                    "reason": "FieldValueInvalid",
                    "message": format!("Invalid value: {shown:?}: {why}"),
                    "field": "patch",
                }],
            })),
            ApiError::Invalid {
                resource,
                name,
                causes,
            } => {
                let mut details = named(name, resource.group, resource.kind);
                details["causes"] = listed(causes);
                Some(details)
            }
            ApiError::InvalidOptions { kind, causes } => Some(json!({
                "group": "meta.k8s.io", "kind": kind, "causes": listed(causes),
            })),
            ApiError::ApplyConflict {
                resource,
                name,
                conflicts,
            } => {
                let mut details = named(name, resource.group, resource.plural);
                details["causes"] = conflicts
                    .iter()
                    .map(|one| {
                        json!({
                            "reason": "FieldManagerConflict",
                            "message": format!("conflict with {}", one.manager),
                            "field": one.field,
                        })
                    })
                    .collect();
                Some(details)
            }
            ApiError::NoSuchPath | ApiError::MethodNotAllowed | ApiError::UnusablePatch => {
                Some(json!({}))
            }
            ApiError::Denied { resource, .. } if resource.is_empty() => Some(json!({})),
            ApiError::Denied {
                group,
                resource,
                name,
                ..
            } => {
                let mut details = named(name, group, resource);
                if name.is_empty() {
                    details.as_object_mut()?.shift_remove("name");
                }
                Some(details)
            }
            ApiError::TooManyRequests => Some(json!({"retryAfterSeconds": 1})),
            // Clients that have followed another store begin anew at this cause.
            ApiError::VersionTooLarge { .. } => Some(json!({
                "causes": [{
                    "reason": "ResourceVersionTooLarge",
                    "message": "Too large resource version",
                }],
                "retryAfterSeconds": 1,
            })),
            _ => None,
        }
    }
}

fn named(name: &str, group: &str, kind: &str) -> Value {
    let mut details = json!({"name": name});
    if !group.is_empty() {
        details["group"] = group.into();
    }
    details["kind"] = kind.into();
    details
}
