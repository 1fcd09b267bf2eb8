//! What a node may do: what concerns itself, and the pods that are bound to it.
//!
//! As Kubernetes' Node authorizer since 1.32 (`AuthorizeNodeWithSelectors`), with two exceptions that
//! [`NODE`] explains: a node reads all nodes, and claims ranges.

use serde_json::Value;

use super::restriction::{self, CLAIM_PREFIX, NODE_LEASES};
use super::rules::{NODE, allow};
use super::{Decision, Objects, ResourceAsked, references};
use crate::cluster::CLAIM_NAMESPACE;
use crate::server::kinds::lease::LEASES;
use crate::server::kinds::pod::PODS;
use crate::server::object;

pub(super) fn authorize(node: &str, asked: &ResourceAsked<'_>, objects: &impl Objects) -> Decision {
    if !allow(NODE, asked) {
        return Decision::denied("");
    }
    match (asked.resource, asked.subresource) {
        ("nodes", _) => own_node(node, asked),
        ("pods", "") if asked.verb != "delete" => read_pods(node, asked, objects),
        ("pods", _) => change_pod(node, asked, objects),
        ("configmaps", _) => read_config_map(node, asked, objects),
        ("leases", _) if asked.namespace == CLAIM_NAMESPACE => claim(node, asked, objects),
        ("leases", _) => own_lease(node, asked),
        _ => Decision::Allowed,
    }
}

fn own_node(node: &str, asked: &ResourceAsked<'_>) -> Decision {
    let changes = matches!(asked.verb, "update" | "patch");
    if changes && !asked.name.is_empty() && asked.name != node {
        return Decision::restricted(restriction::other_node(node, &asked.name));
    }
    Decision::Allowed
}

fn read_pods(node: &str, asked: &ResourceAsked<'_>, objects: &impl Objects) -> Decision {
    if asked.verb != "get" {
        if asked.selects("spec.nodeName").as_deref() == Some(node) {
            return Decision::Allowed;
        }
        if asked.name.is_empty() {
            return Decision::denied("can only list/watch pods with spec.nodeName field selector");
        }
    }
    let pod = objects.get(&PODS.key(asked.namespace, &asked.name));
    related(
        node,
        pod.is_some_and(|pod| restriction::is_bound(&pod, node)),
    )
}

/// Also decided where the pod is changed: this one may be gone by then.
fn change_pod(node: &str, asked: &ResourceAsked<'_>, objects: &impl Objects) -> Decision {
    let pod = objects.get(&PODS.key(asked.namespace, &asked.name));
    match pod {
        Some(pod) if !restriction::is_bound(&pod, node) => {
            let what = match asked.subresource {
                "status" => restriction::PodChange::Status,
                "eviction" => restriction::PodChange::Eviction,
                _ => restriction::PodChange::Deletion,
            };
            Decision::restricted(what.refused_to(node))
        }
        _ => Decision::Allowed,
    }
}

fn read_config_map(node: &str, asked: &ResourceAsked<'_>, objects: &impl Objects) -> Decision {
    if asked.namespace.is_empty() {
        return Decision::denied("can only read namespaced object of this type");
    }
    if asked.name.is_empty() {
        return Decision::denied("No Object name found");
    }
    let pods = objects.under(&PODS.prefix(Some(asked.namespace)));
    let mut own = pods.iter().filter(|pod| restriction::is_bound(pod, node));
    related(
        node,
        own.any(|pod| references::config_map(pod, &asked.name)),
    )
}

fn related(node: &str, is: bool) -> Decision {
    match is {
        true => Decision::Allowed,
        false => Decision::denied(format!(
            "no relationship found between node '{node}' and this object"
        )),
    }
}

/// The heartbeat.
fn own_lease(node: &str, asked: &ResourceAsked<'_>) -> Decision {
    if asked.verb == "list" {
        return Decision::denied("can only get, create, update, patch, or delete a node lease");
    }
    if asked.namespace != NODE_LEASES {
        return Decision::denied(format!(
            "can only access leases in the {NODE_LEASES:?} system namespace"
        ));
    }
    // On create the name is in the body.
    if asked.verb != "create" && asked.name != node {
        return Decision::denied(
            "can only access node lease with the same name as the requesting node",
        );
    }
    Decision::Allowed
}

/// The leases that give a node its range. All may be seen, and those that it holds changed; what a
/// new one says is seen where it is made.
fn claim(node: &str, asked: &ResourceAsked<'_>, objects: &impl Objects) -> Decision {
    if matches!(asked.verb, "list" | "create") {
        return Decision::Allowed;
    }
    if !asked.name.starts_with(CLAIM_PREFIX) {
        return Decision::denied("can only access the leases of pod CIDRs in this namespace");
    }
    if asked.verb == "get" {
        return Decision::Allowed;
    }
    match objects.get(&LEASES.key(asked.namespace, &asked.name)) {
        Some(lease) if holder(&lease.value()) != node => {
            Decision::restricted(restriction::other_claim(node))
        }
        _ => Decision::Allowed,
    }
}

pub(super) fn holder(lease: &Value) -> &str {
    object::text(lease, "/spec/holderIdentity")
}
