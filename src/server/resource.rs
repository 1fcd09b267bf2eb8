//! The table of resources: everything the server needs to know about a kind, one row each.
//!
//! The verbs, the store, discovery, selectors and tables are generic over this row. To serve another
//! resource, write its row in [`super::kinds`] and name it in [`ALL`].

use serde_json::Value;

use super::kinds::{self, UnknownField};
use super::rest::protobuf::Field;
use super::status::Cause;
use super::store::View;
use super::table::Column;

/// Every resource that is served. Discovery lists them in this order.
pub static ALL: &[&Resource] = &[
    &kinds::config_map::CONFIG_MAPS,
    &kinds::endpoints::ENDPOINTS,
    &kinds::event::EVENTS,
    &kinds::namespace::NAMESPACES,
    &kinds::node::NODES,
    &kinds::pod::PODS,
    &kinds::service_account::SERVICE_ACCOUNTS,
    &kinds::service::SERVICES,
    &kinds::controller_revision::CONTROLLER_REVISIONS,
    &kinds::daemon_set::DAEMON_SETS,
    &kinds::deployment::DEPLOYMENTS,
    &kinds::replica_set::REPLICA_SETS,
    &kinds::lease::LEASES,
    &kinds::endpoint_slice::ENDPOINT_SLICES,
    &kinds::network_policy::NETWORK_POLICIES,
];

pub struct Resource {
    /// Empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub kind: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub namespaced: bool,
    pub subresources: &'static [Subresource],
    /// Fields a field selector may name besides `metadata.name` and `metadata.namespace`, with
    /// where they are and what an absent one counts as.
    pub fields: &'static [SelectableField],
    pub strategy: Strategy,
    /// What is read of a protobuf body; nothing where none is accepted.
    pub protobuf: &'static [Field],
    pub columns: &'static [Column],
    /// The cells of one object, in the order of `columns`.
    pub row: fn(&Value, jiff::Timestamp) -> Vec<Value>,
}

pub struct SelectableField {
    pub label: &'static str,
    pub pointer: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresource {
    Status,
    Finalize,
    Binding,
    Scale,
    Eviction,
    Log,
    Exec,
    Attach,
    PortForward,
}

impl Subresource {
    pub fn name(self) -> &'static str {
        match self {
            Subresource::Status => "status",
            Subresource::Finalize => "finalize",
            Subresource::Binding => "binding",
            Subresource::Scale => "scale",
            Subresource::Eviction => "eviction",
            Subresource::Log => "log",
            Subresource::Exec => "exec",
            Subresource::Attach => "attach",
            Subresource::PortForward => "portforward",
        }
    }

    /// Answered by the object's node.
    pub fn is_remote(self) -> bool {
        use Subresource::{Attach, Exec, Log, PortForward};
        matches!(self, Log | Exec | Attach | PortForward)
    }
}

/// What differs between kinds. None of these has effects.
pub struct Strategy {
    /// The fields that the object's own type does not have; an error if it does not decode at
    /// all.
    pub unknown_fields: fn(&Value) -> Result<Vec<UnknownField>, String>,
    /// What is wrong with a name, if anything.
    pub check_name: fn(&str) -> Option<&'static str>,
    /// `metadata.generation` counts changes of the spec.
    pub tracks_generation: bool,
    /// Fills in what Kubernetes fills in. Called on every write.
    pub default: fn(&mut Value),
    /// Sets what a new object's author does not decide (its status, mostly).
    pub prepare_create: fn(&mut Value),
    /// Puts back what an update may not touch silently.
    pub prepare_update: fn(&mut Value, &Value),
    /// All that is wrong with an object, and with the step from the old one if there is one.
    pub validate: fn(&Value, Option<&Value>) -> Vec<Cause>,
    /// Seconds between the request to delete this object and its removal, given what the caller
    /// asked for; `None` when it goes at once.
    pub grace: fn(&Value, Option<i64>, &View<'_>) -> Option<i64>,
    /// What else shows that an object is being deleted.
    pub mark_terminating: fn(&mut Value),
    /// A delete answers with the object rather than with a `Status`.
    pub returns_deleted: bool,
}

impl Resource {
    pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
        ALL.iter().copied().find(|resource| {
            resource.group == group && resource.version == version && resource.plural == plural
        })
    }

    /// The position in [`ALL`].
    pub fn ordinal(&self) -> usize {
        ALL.iter()
            .position(|one| std::ptr::eq(*one, self))
            .unwrap_or_default()
    }

    /// `pods`, `leases.coordination.k8s.io`.
    pub fn qualified(&self) -> String {
        qualify(self.plural, self.group)
    }

    /// `Pod`, `Lease.coordination.k8s.io`.
    pub fn qualified_kind(&self) -> String {
        qualify(self.kind, self.group)
    }

    /// `v1`, `coordination.k8s.io/v1`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Where an object is stored: `pods/default/web`, `nodes//node-1`. A `/` cannot occur in
    /// either name, so prefixes select exactly one resource or one namespace.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        format!("{}/{namespace}/{name}", self.plural)
    }

    /// The prefix of all keys, or of those in one namespace.
    pub fn prefix(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) => format!("{}/{namespace}/", self.plural),
            None => format!("{}/", self.plural),
        }
    }

    /// The resource an object belongs to, by its key.
    pub fn of_key(key: &str) -> Option<&'static Resource> {
        let plural = key.split('/').next()?;
        ALL.iter().copied().find(|one| one.plural == plural)
    }

    pub fn of_kind(kind: &str, api_version: &str) -> Option<&'static Resource> {
        ALL.iter()
            .copied()
            .find(|one| one.kind == kind && one.api_version() == api_version)
    }

    /// What a client is told of it whatever it does with it.
    pub fn deprecated(&self) -> &'static [&'static str] {
        match (self.group, self.kind) {
            ("", "Endpoints") => {
                &["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"]
            }
            _ => &[],
        }
    }

    /// Whether all objects can be deleted at once; not so for namespaces, as in Kubernetes.
    pub fn deletes_collections(&self) -> bool {
        !std::ptr::eq(self, &kinds::namespace::NAMESPACES)
    }

    pub fn has(&self, subresource: Subresource) -> bool {
        self.subresources.contains(&subresource)
    }
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.qualified())
    }
}

fn qualify(name: &str, group: &str) -> String {
    match group {
        "" => name.to_owned(),
        group => format!("{name}.{group}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_back_to_its_resource() {
        for resource in ALL {
            let found = Resource::of_key(&resource.key("namespace", "name")).unwrap();
            assert!(std::ptr::eq(found, *resource), "{resource:?}");
        }
    }
}
