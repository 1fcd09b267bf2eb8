//! Acting as somebody else (`Impersonate-User`), which is how `kubectl --as` asks.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation>

use std::borrow::Cow;

use hyper::HeaderMap;

use super::caller::UNAUTHENTICATED;
use super::{Asked, Caller, Objects, ResourceAsked, require};
use crate::server::status::ApiError;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const ANONYMOUS: &str = "system:anonymous";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Whom the request is for: its sender, or whom the sender may act as.
///
/// # Errors
/// 403 for a sender who may not; 400 for what is asked without a user, or cannot be done here.
pub fn impersonated<'a>(
    sender: &'a Caller,
    headers: &HeaderMap,
    objects: &impl Objects,
) -> Result<Cow<'a, Caller>, ApiError> {
    if !headers
        .keys()
        .any(|name| name.as_str().starts_with("impersonate-"))
    {
        return Ok(Cow::Borrowed(sender));
    }
    let text = |name: &str| -> Vec<String> {
        let all = headers.get_all(name).iter();
        all.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    };
    let groups = text(GROUP);
    let Some(user) = text(USER)
        .into_iter()
        .next()
        .filter(|user| !user.is_empty())
    else {
        return Err(ApiError::BadRequest(format!(
            "requested {groups:?} without impersonating a user"
        )));
    };
    let other = |name: &&hyper::header::HeaderName| {
        name.as_str().starts_with("impersonate-") && ![USER, GROUP].contains(&name.as_str())
    };
    if let Some(name) = headers.keys().find(other) {
        return Err(ApiError::BadRequest(format!(
            "users have a name and groups here, so {name} means nothing"
        )));
    }
    let may = |resource, namespace, name: &str| {
        let asked = Asked::Resource(ResourceAsked {
            verb: "impersonate",
            resource,
            namespace,
            name: Cow::Borrowed(name),
            ..ResourceAsked::default()
        });
        require(sender, &asked, objects)
    };
    let account = user
        .strip_prefix(SERVICE_ACCOUNT)
        .and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => may("serviceaccounts", namespace, name)?,
        None => may("users", "", &user)?,
    }
    for group in &groups {
        may("groups", "", group)?;
    }
    let groups = match (account, groups.is_empty()) {
        (Some((namespace, _)), true) => vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ],
        _ if user == ANONYMOUS => [groups, vec![UNAUTHENTICATED.to_owned()]].concat(),
        _ => groups,
    };
    Ok(Cow::Owned(Caller::authenticated(user, groups)))
}
