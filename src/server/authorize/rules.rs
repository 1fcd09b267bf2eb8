//! What a role may do at all, as lists.

use serde_json::{Value, json};

use super::caller::{AUTHENTICATED, Caller, Role, UNAUTHENTICATED};
use super::{Asked, ResourceAsked};

/// Verbs on resources of a group, as in a ClusterRole.
pub(super) struct Rule {
    verbs: &'static [&'static str],
    group: &'static str,
    /// `pods/status` for a subresource.
    resources: &'static [&'static str],
}

const READ: &[&str] = &["get", "list", "watch"];
const CREATE: &[&str] = &["create"];
const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";

const fn rule(
    verbs: &'static [&'static str],
    group: &'static str,
    resources: &'static [&'static str],
) -> Rule {
    Rule {
        verbs,
        group,
        resources,
    }
}

/// The most that a node may do; [`super::node`] narrows it to what is the node's own. It is
/// Kubernetes' `system:node` for what is served here, without the pods that a kubelet makes of files.
/// As a node's agent also does what `system:node-proxier` and a network's own agents do in
/// Kubernetes, it reads all nodes, services and their endpoints, and claims ranges by leases.
pub(super) const NODE: &[Rule] = &[
    rule(READ, "", &["endpoints", "nodes", "services"]),
    rule(READ, "discovery.k8s.io", &["endpointslices"]),
    rule(&["create", "update", "patch"], "", &["nodes", "events"]),
    rule(&["update", "patch"], "", &["nodes/status", "pods/status"]),
    rule(&["get", "list", "watch", "delete"], "", &["pods"]),
    rule(CREATE, "", &["pods/eviction"]),
    rule(READ, "", &["configmaps"]),
    rule(
        &["get", "list", "create", "update", "patch", "delete"],
        "coordination.k8s.io",
        &["leases"],
    ),
    rule(CREATE, AUTHORIZATION, &["subjectaccessreviews"]),
];

/// `system:basic-user`.
const BASIC: &[Rule] = &[
    rule(
        CREATE,
        AUTHORIZATION,
        &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    ),
    rule(CREATE, AUTHENTICATION, &["selfsubjectreviews"]),
];

/// `system:public-info-viewer`.
const PUBLIC: &[&str] = &["/healthz", "/livez", "/readyz", "/version"];

/// `system:discovery`; a `*` at the end stands for anything.
const DISCOVERY: &[&str] = &[
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
];

/// What follows from being somebody at all.
pub(super) fn everybody_may(caller: &Caller, asked: &Asked<'_>) -> bool {
    let is_in = |name: &str| caller.groups.iter().any(|group| group == name);
    let paths: &[&str] = if is_in(AUTHENTICATED) {
        DISCOVERY
    } else if is_in(UNAUTHENTICATED) {
        PUBLIC
    } else {
        return false;
    };
    match asked {
        Asked::Path { verb, path } => *verb == "get" && paths.iter().any(|one| covers(one, path)),
        Asked::Resource(asked) => is_in(AUTHENTICATED) && allow(BASIC, asked),
    }
}

fn covers(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}

pub(super) fn allow(rules: &[Rule], asked: &ResourceAsked<'_>) -> bool {
    rules.iter().any(|rule| {
        rule.group == asked.group
            && rule.verbs.contains(&asked.verb)
            && rule.resources.iter().any(|one| match one.split_once('/') {
                Some((resource, subresource)) => {
                    (resource, subresource) == (asked.resource, asked.subresource)
                }
                None => *one == asked.resource && asked.subresource.is_empty(),
            })
    })
}

/// The status of a `SelfSubjectRulesReview`.
pub fn listed(caller: &Caller) -> Value {
    if caller.role == Role::Master {
        return json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        });
    }
    let is_in = |name: &str| caller.groups.iter().any(|group| group == name);
    let is_node = matches!(caller.role, Role::Node(_));
    let authenticated = is_in(AUTHENTICATED);
    let paths = match authenticated {
        true => DISCOVERY,
        false => PUBLIC,
    };
    let resources: Vec<Value> = NODE
        .iter()
        .filter(|_| is_node)
        .chain(BASIC.iter().filter(|_| authenticated))
        .map(|rule| {
            json!({
                "verbs": rule.verbs, "apiGroups": [rule.group], "resources": rule.resources,
            })
        })
        .collect();
    let mut status = json!({
        "resourceRules": resources,
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": paths}],
        "incomplete": is_node,
    });
    if is_node {
        status["evaluationError"] = "a node may do this only with what is its own".into();
    }
    status
}
