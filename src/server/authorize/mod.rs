//! Who may do what.
//!
//! Pure: a [`Caller`], what is [`Asked`] and a view of the stored objects go in, a [`Decision`] comes
//! out. There are no role objects; what there is follows from the caller's groups alone:
//!
//! - `system:masters` may do everything;
//! - a node (`system:node:NAME` in `system:nodes`) may do what [`node`] says, which is what Kubernetes'
//!   Node authorizer lets a kubelet do, and what podnet's agent needs beside that;
//! - everybody else may look at discovery, health and the version, and ask who they are and what they
//!   may do (Kubernetes' `system:discovery`, `system:basic-user` and `system:public-info-viewer`).
//!
//! A decision is made before a body is read. What a node writes is known only later, and is held to
//! the [`Restriction`] there.
//!
//! Sources: <https://kubernetes.io/docs/reference/access-authn-authz/node/>,
//! <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction>,
//! the default roles in <https://kubernetes.io/docs/reference/access-authn-authz/rbac/>, and for the
//! wording `apiserver/pkg/endpoints/handlers/responsewriters/errors.go`.

mod caller;
mod impersonate;
mod node;
mod references;
mod restriction;
mod rules;

use std::borrow::Cow;
use std::sync::Arc;

pub use caller::Caller;
pub use impersonate::impersonated;
pub use restriction::{Restriction, is_protected_label};
pub use rules::listed;

#[cfg(test)]
mod tests;

use caller::Role;
use serde_json::Value;

use super::object;
use super::request::{Options, ResourceRequest};
use super::selector::{FieldSelector, escaped};
use super::status::ApiError;
use super::store::StoredObject;

/// What somebody asks to do: kube-apiserver's `authorizer.Attributes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked<'a> {
    Resource(ResourceAsked<'a>),
    /// What is no resource. The verb is the HTTP method in small letters.
    Path {
        verb: &'a str,
        path: &'a str,
    },
}

/// Something about a resource. An empty text means that there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceAsked<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: Cow<'a, str>,
    /// As a client writes it.
    pub field_selector: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    Denied(Denial),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Denial {
    /// Empty where nothing allows it and there is no more to say.
    pub reason: String,
    /// It is NodeRestriction that forbids it, which says so in its own way.
    pub restricted: bool,
}

/// The stored objects, as far as a decision depends on them.
pub trait Objects {
    fn get(&self, key: &str) -> Option<Arc<StoredObject>>;
    /// All under a prefix, in no particular order.
    fn under(&self, prefix: &str) -> Vec<Arc<StoredObject>>;
}

impl<'a> ResourceAsked<'a> {
    pub fn of(request: &'a ResourceRequest, options: &'a Options) -> ResourceAsked<'a> {
        let text = |part: &'a Option<String>| part.as_deref().unwrap_or("");
        let name = text(&request.name);
        let mut asked = ResourceAsked {
            verb: request.verb.name(),
            group: &request.group,
            resource: &request.resource,
            subresource: text(&request.subresource),
            namespace: text(&request.namespace),
            name: Cow::Borrowed(name),
            field_selector: &options.field_selector,
        };
        // A namespace is in itself (kube-apiserver's RequestInfo).
        if asked.resource == "namespaces" && asked.namespace.is_empty() {
            asked.namespace = name;
        }
        if name.is_empty()
            && let Some(only) = asked.selects("metadata.name")
        {
            asked.name = Cow::Owned(only);
        }
        asked
    }

    /// The value that the field selector demands of a field.
    fn selects(&self, label: &str) -> Option<String> {
        if self.field_selector.is_empty() {
            return None;
        }
        let selector = FieldSelector::parse_any(self.field_selector).ok()?;
        selector.demanded(label).map(str::to_owned)
    }
}

/// A review's field selector (`authorization/v1 FieldSelectorAttributes`) as a client writes one.
/// What demands no single value of a field decides nothing here, and is left out.
pub fn field_selector(attributes: &Value) -> String {
    let raw = object::text(attributes, "/rawSelector");
    let mut terms: Vec<String> = vec![raw.to_owned()];
    for one in object::list(attributes, "/requirements") {
        let key = object::text(one, "/key");
        if let ("In", [Value::String(value)]) =
            (object::text(one, "/operator"), object::list(one, "/values"))
        {
            terms.push(format!("{key}={}", escaped(value)));
        }
    }
    terms.retain(|term| !term.is_empty());
    terms.join(",")
}

/// Whether `caller` may do what is asked.
pub fn authorize(caller: &Caller, asked: &Asked<'_>, objects: &impl Objects) -> Decision {
    if caller.role == Role::Master || rules::everybody_may(caller, asked) {
        return Decision::Allowed;
    }
    match (&caller.role, asked) {
        (Role::Node(node), Asked::Resource(asked)) => node::authorize(node, asked, objects),
        (Role::UnknownNode, _) => {
            Decision::denied(format!("unknown node for user {:?}", caller.user))
        }
        _ => Decision::denied(""),
    }
}

/// As [`authorize`], with the answer that a client gets.
///
/// # Errors
/// 403 if not.
pub fn require(caller: &Caller, asked: &Asked<'_>, objects: &impl Objects) -> Result<(), ApiError> {
    match authorize(caller, asked, objects) {
        Decision::Allowed => Ok(()),
        Decision::Denied(denial) => Err(refusal(caller, asked, &denial)),
    }
}

impl Decision {
    fn denied(reason: impl Into<String>) -> Decision {
        Decision::Denied(Denial {
            reason: reason.into(),
            restricted: false,
        })
    }

    fn restricted(reason: String) -> Decision {
        Decision::Denied(Denial {
            reason,
            restricted: true,
        })
    }
}

fn refusal(caller: &Caller, asked: &Asked<'_>, denial: &Denial) -> ApiError {
    let (group, resource, name) = match asked {
        Asked::Resource(asked) => (asked.group, asked.resource, &*asked.name),
        Asked::Path { .. } => ("", "", ""),
    };
    let why = match denial {
        Denial {
            restricted: true,
            reason,
        } => reason.clone(),
        Denial { reason, .. } if reason.is_empty() => cannot(caller, asked),
        Denial { reason, .. } => format!("{}: {reason}", cannot(caller, asked)),
    };
    ApiError::Denied {
        group: group.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        why,
    }
}

fn cannot(caller: &Caller, asked: &Asked<'_>) -> String {
    let user = &caller.user;
    match asked {
        Asked::Path { verb, path } => format!("User {user:?} cannot {verb} path {path:?}"),
        Asked::Resource(asked) => {
            let ResourceAsked { verb, group, .. } = asked;
            let slash = if asked.subresource.is_empty() {
                ""
            } else {
                "/"
            };
            let whole = format!("{}{slash}{}", asked.resource, asked.subresource);
            let place = match asked.namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {namespace:?}"),
            };
            format!("User {user:?} cannot {verb} resource {whole:?} in API group {group:?} {place}")
        }
    }
}
