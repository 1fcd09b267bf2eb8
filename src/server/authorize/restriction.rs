//! What a node may write, once it is known what it writes: Kubernetes' NodeRestriction admission.
//!
//! It says no to whatever it does not know, so that a rule added to [`super::rules`] alone opens
//! nothing.

use std::ptr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use serde_json::Value;

use super::Objects;
use super::caller::{Caller, Role};
use super::node::holder;
use crate::cluster::CLAIM_NAMESPACE;
use crate::ipam;
use crate::server::kinds::event::EVENTS;
use crate::server::kinds::lease::LEASES;
use crate::server::kinds::node::NODES;
use crate::server::kinds::pod::PODS;
use crate::server::object;
use crate::server::resource::{Resource, Subresource};
use crate::server::status::ApiError;
use crate::server::store::StoredObject;

pub(super) const NODE_LEASES: &str = "kube-node-lease";
/// What the name of a claimed range begins with (`ipam::lease_name`).
pub(super) const CLAIM_PREFIX: &str = "podcidr-";
/// Labels of Kubernetes' own that a kubelet may set (`k8s.io/kubelet/pkg/apis`).
const KUBELET_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "node.kubernetes.io/instance-type",
];
const KUBELET_LABEL_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// What a caller's writes are held to; nothing by default, and for whoever is no node.
#[derive(Debug, Clone, Default)]
pub struct Restriction(Option<Arc<str>>);

#[derive(Debug, Clone, Copy)]
pub(super) enum PodChange {
    Status,
    Deletion,
    Eviction,
}

impl PodChange {
    pub(super) fn refused_to(self, node: &str) -> String {
        match self {
            PodChange::Status => format!(
                "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
            ),
            PodChange::Deletion => {
                format!("node {node:?} can only delete pods with spec.nodeName set to itself")
            }
            PodChange::Eviction => {
                format!("node {node} can only evict pods with spec.nodeName set to itself")
            }
        }
    }
}

impl Restriction {
    pub fn of(caller: &Caller) -> Restriction {
        Restriction(match &caller.role {
            Role::Node(node) => Some(node.clone()),
            _ => None,
        })
    }

    /// # Errors
    /// 403, here and below.
    pub fn check_create(
        &self,
        resource: &'static Resource,
        new: &Value,
        objects: &impl Objects,
    ) -> Result<(), ApiError> {
        let Some(node) = &self.0 else {
            return Ok(());
        };
        let (namespace, name) = (object::namespace(new), object::name(new));
        let checked = if ptr::eq(resource, &NODES) {
            check_name(node, name)
                .and_then(|()| check_labels(&Value::Null, new, "set the following labels"))
        } else if ptr::eq(resource, &LEASES) {
            check_lease(node, namespace, name, new, objects)
        } else if ptr::eq(resource, &EVENTS) {
            Ok(())
        } else {
            Err(format!(
                "node {node:?} is not allowed to create {}",
                resource.plural
            ))
        };
        checked.map_err(|why| forbidden(resource, name, why))
    }

    pub fn check_update(
        &self,
        subresource: Option<Subresource>,
        old: &StoredObject,
        new: &Value,
        objects: &impl Objects,
    ) -> Result<(), ApiError> {
        let Some(node) = &self.0 else {
            return Ok(());
        };
        let resource = old.resource;
        let checked = if ptr::eq(resource, &NODES) {
            check_node(node, old, new, objects)
        } else if ptr::eq(resource, &PODS) && subresource == Some(Subresource::Status) {
            check_pod_status(node, old, new)
        } else if ptr::eq(resource, &LEASES) {
            check_held(node, old)
                .and_then(|()| check_lease(node, old.namespace(), old.name(), new, objects))
        } else if ptr::eq(resource, &EVENTS) {
            Ok(())
        } else {
            Err(format!(
                "node {node:?} is not allowed to change {}",
                resource.plural
            ))
        };
        checked.map_err(|why| forbidden(resource, old.name(), why))
    }

    pub fn check_delete(&self, old: &StoredObject) -> Result<(), ApiError> {
        self.check_end(old, PodChange::Deletion)
    }

    pub fn check_eviction(&self, old: &StoredObject) -> Result<(), ApiError> {
        self.check_end(old, PodChange::Eviction)
    }

    fn check_end(&self, old: &StoredObject, change: PodChange) -> Result<(), ApiError> {
        let Some(node) = &self.0 else {
            return Ok(());
        };
        let resource = old.resource;
        let checked = if ptr::eq(resource, &PODS) {
            match is_bound(old, node) {
                true => Ok(()),
                false => Err(change.refused_to(node)),
            }
        } else if ptr::eq(resource, &LEASES) {
            check_held(node, old)
        } else {
            Err(format!(
                "node {node:?} is not allowed to delete {}",
                resource.plural
            ))
        };
        checked.map_err(|why| forbidden(resource, old.name(), why))
    }
}

fn forbidden(resource: &'static Resource, name: &str, why: String) -> ApiError {
    ApiError::Forbidden {
        resource,
        name: name.to_owned(),
        why,
    }
}

pub(super) fn is_bound(pod: &StoredObject, node: &str) -> bool {
    pod.field("spec.nodeName") == node
}

pub(super) fn other_node(node: &str, other: &str) -> String {
    format!("node {node:?} is not allowed to modify node {other:?}")
}

pub(super) fn other_claim(node: &str) -> String {
    format!("node {node:?} can only change the leases of pod CIDRs that it holds")
}

fn check_name(node: &str, name: &str) -> Result<(), String> {
    match name == node {
        true => Ok(()),
        false => Err(other_node(node, name)),
    }
}

fn check_node(
    node: &str,
    old: &StoredObject,
    new: &Value,
    objects: &impl Objects,
) -> Result<(), String> {
    check_name(node, old.name())?;
    let before = old.value();
    let taints = "/spec/taints";
    if object::list(&before, taints) != object::list(new, taints) {
        return Err(format!("node {node:?} is not allowed to modify taints"));
    }
    check_labels(&before, new, "modify labels")?;
    check_ranges(node, &before, new, objects)
}

/// Labels by which pods that are not its own could be steered to a node.
fn check_labels(old: &Value, new: &Value, what: &str) -> Result<(), String> {
    let labels = "/metadata/labels";
    let differs = |from: &Value, to: &Value| -> Vec<String> {
        object::pairs(from, labels)
            .filter(|(key, value)| !object::pairs(to, labels).any(|one| one == (*key, *value)))
            .map(|(key, _)| key.to_owned())
            .collect()
    };
    let mut modified = differs(old, new);
    modified.extend(differs(new, old));
    modified.retain(|label| is_protected_label(label));
    modified.sort_unstable();
    modified.dedup();
    match modified.is_empty() {
        true => Ok(()),
        false => Err(format!("is not allowed to {what}: {}", modified.join(", "))),
    }
}

/// Whether a node may not set this label on itself: one that is made to keep nodes from it, or
/// one of Kubernetes' own that is not for kubelets.
pub fn is_protected_label(label: &str) -> bool {
    let Some((namespace, _)) = label.split_once('/') else {
        return false;
    };
    let within = |domain: &str| {
        namespace == domain
            || namespace
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    if within("node-restriction.kubernetes.io") {
        return true;
    }
    let a_kubelets =
        KUBELET_LABELS.contains(&label) || KUBELET_LABEL_NAMESPACES.map(within).contains(&true);
    (within("kubernetes.io") || within("k8s.io")) && !a_kubelets
}

/// A range that a node writes down as its own is one that it holds: its peers route there.
fn check_ranges(
    node: &str,
    old: &Value,
    new: &Value,
    objects: &impl Objects,
) -> Result<(), String> {
    let ranges = |node| object::list(node, "/spec/podCIDRs");
    for range in ranges(new).iter().filter(|one| !ranges(old).contains(one)) {
        let name = range
            .as_str()
            .and_then(|range| range.parse::<IpNetwork>().ok())
            .map(ipam::lease_name);
        let lease = name.and_then(|name| objects.get(&LEASES.key(CLAIM_NAMESPACE, &name)));
        if lease.is_none_or(|lease| holder(&lease.value()) != node) {
            return Err(format!(
                "node {node:?} is not allowed to set a pod CIDR whose lease it does not hold: {range}"
            ));
        }
    }
    Ok(())
}

fn check_pod_status(node: &str, old: &StoredObject, new: &Value) -> Result<(), String> {
    if !is_bound(old, node) {
        return Err(PodChange::Status.refused_to(node));
    }
    let mut before: Vec<_> = old.labels().collect();
    let mut after: Vec<_> = object::pairs(new, "/metadata/labels").collect();
    before.sort_unstable();
    after.sort_unstable();
    match before == after {
        true => Ok(()),
        false => Err(format!(
            "node {node:?} cannot update labels through pod status"
        )),
    }
}

/// What a node's lease says once it is written.
fn check_lease(
    node: &str,
    namespace: &str,
    name: &str,
    new: &Value,
    objects: &impl Objects,
) -> Result<(), String> {
    match namespace {
        NODE_LEASES if name == node => Ok(()),
        NODE_LEASES => {
            Err("can only access node lease with the same name as the requesting node".to_owned())
        }
        CLAIM_NAMESPACE => check_claim(node, name, new, objects),
        _ => Err(format!(
            "can only access leases in the {NODE_LEASES:?} system namespace"
        )),
    }
}

/// A claim is its node's, and goes with it: whose it is is read from its owner.
fn check_claim(node: &str, name: &str, new: &Value, objects: &impl Objects) -> Result<(), String> {
    if !name.starts_with(CLAIM_PREFIX) {
        return Err("can only access the leases of pod CIDRs in this namespace".to_owned());
    }
    let own = objects.get(&NODES.key("", node));
    let is_own = |owner: &Value| {
        object::text(owner, "/kind") == "Node"
            && object::text(owner, "/name") == node
            && own
                .as_ref()
                .is_some_and(|own| object::text(owner, "/uid") == &*own.uid)
    };
    match object::list(new, "/metadata/ownerReferences") {
        [owner] if is_own(owner) && holder(new) == node => Ok(()),
        _ => Err(format!(
            "node {node:?} can only hold the leases of pod CIDRs for itself, and as their only owner"
        )),
    }
}

fn check_held(node: &str, lease: &StoredObject) -> Result<(), String> {
    match lease.namespace() {
        CLAIM_NAMESPACE if holder(&lease.value()) != node => Err(other_claim(node)),
        CLAIM_NAMESPACE => Ok(()),
        NODE_LEASES if lease.name() == node => Ok(()),
        _ => Err("can only access node lease with the same name as the requesting node".to_owned()),
    }
}

#[cfg(test)]
mod tests;
