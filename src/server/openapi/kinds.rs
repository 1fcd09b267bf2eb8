//! The Rust type of each kind, whose fields and descriptions become its schema.

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, Pod, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use schemars::{Schema, SchemaGenerator};

use crate::server::resource::Resource;

type Generate = fn(&mut SchemaGenerator) -> Schema;

static KINDS: &[(&str, &str, Generate)] = &[
    ("", "ConfigMap", SchemaGenerator::subschema_for::<ConfigMap>),
    ("", "Endpoints", SchemaGenerator::subschema_for::<Endpoints>),
    ("", "Event", SchemaGenerator::subschema_for::<Event>),
    ("", "Namespace", SchemaGenerator::subschema_for::<Namespace>),
    ("", "Node", SchemaGenerator::subschema_for::<Node>),
    ("", "Pod", SchemaGenerator::subschema_for::<Pod>),
    ("", "Service", SchemaGenerator::subschema_for::<Service>),
    (
        "",
        "ServiceAccount",
        SchemaGenerator::subschema_for::<ServiceAccount>,
    ),
    (
        "apps",
        "ControllerRevision",
        SchemaGenerator::subschema_for::<ControllerRevision>,
    ),
    (
        "apps",
        "DaemonSet",
        SchemaGenerator::subschema_for::<DaemonSet>,
    ),
    (
        "apps",
        "Deployment",
        SchemaGenerator::subschema_for::<Deployment>,
    ),
    (
        "apps",
        "ReplicaSet",
        SchemaGenerator::subschema_for::<ReplicaSet>,
    ),
    (
        "coordination.k8s.io",
        "Lease",
        SchemaGenerator::subschema_for::<Lease>,
    ),
    (
        "discovery.k8s.io",
        "EndpointSlice",
        SchemaGenerator::subschema_for::<EndpointSlice>,
    ),
    (
        "networking.k8s.io",
        "NetworkPolicy",
        SchemaGenerator::subschema_for::<NetworkPolicy>,
    ),
];

/// What makes the schema of a resource's kind; `None` for one without a type of its own.
pub fn generate(resource: &Resource) -> Option<Generate> {
    KINDS
        .iter()
        .find(|(group, kind, _)| *group == resource.group && *kind == resource.kind)
        .map(|(_, _, generate)| *generate)
}
