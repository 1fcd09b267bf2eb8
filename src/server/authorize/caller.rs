//! Whom a request is for.

use std::sync::Arc;

const MASTERS: &str = "system:masters";
const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";
pub(super) const AUTHENTICATED: &str = "system:authenticated";
pub(super) const UNAUTHENTICATED: &str = "system:unauthenticated";

/// A user with groups, and what follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub user: String,
    /// Those that everybody is in included.
    pub groups: Vec<String>,
    pub(super) role: Role,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    Master,
    Node(Arc<str>),
    /// Of the group of the nodes, and named like one, but without a name.
    UnknownNode,
    Authenticated,
    Unauthenticated,
}

impl Caller {
    /// Somebody who has shown who they are.
    pub fn authenticated(user: String, mut groups: Vec<String>) -> Caller {
        let has_one = groups
            .iter()
            .any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED);
        if !has_one {
            groups.push(AUTHENTICATED.to_owned());
        }
        Caller::new(user, groups)
    }

    /// In these groups and no others.
    pub fn new(user: String, groups: Vec<String>) -> Caller {
        Caller {
            role: role(&user, &groups),
            user,
            groups,
        }
    }
}

fn role(user: &str, groups: &[String]) -> Role {
    let is_in = |name: &str| groups.iter().any(|group| group == name);
    if is_in(MASTERS) {
        return Role::Master;
    }
    match user.strip_prefix(NODE_PREFIX) {
        Some("") if is_in(NODES) => Role::UnknownNode,
        Some(name) if is_in(NODES) => Role::Node(name.into()),
        _ if is_in(AUTHENTICATED) => Role::Authenticated,
        _ => Role::Unauthenticated,
    }
}
