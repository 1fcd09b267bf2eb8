//! The Rust type of each kind, whose fields and descriptions become its schema.

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, Pod, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::server::kinds::event;
use crate::server::kinds::review::REVIEWS;
use crate::server::resource::{ALL, Resource};
use crate::server::schema::Type;

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
        event::GROUP,
        "Event",
        SchemaGenerator::subschema_for::<events::v1::Event>,
    ),
    (
        "authentication.k8s.io",
        "SelfSubjectReview",
        SchemaGenerator::subschema_for::<SelfSubjectReview>,
    ),
    (
        "authorization.k8s.io",
        "SelfSubjectAccessReview",
        SchemaGenerator::subschema_for::<SelfSubjectAccessReview>,
    ),
    (
        "authorization.k8s.io",
        "SelfSubjectRulesReview",
        SchemaGenerator::subschema_for::<SelfSubjectRulesReview>,
    ),
    (
        "authorization.k8s.io",
        "SubjectAccessReview",
        SchemaGenerator::subschema_for::<SubjectAccessReview>,
    ),
    (
        "networking.k8s.io",
        "NetworkPolicy",
        SchemaGenerator::subschema_for::<NetworkPolicy>,
    ),
];

/// A kind of objects that clients send or get, with what its documents say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub name: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
    /// Whether there are objects of it to read and change, or it is only posted and answered.
    pub kept: bool,
}

impl Kind {
    pub fn all() -> impl Iterator<Item = Kind> {
        let resources = ALL.iter().copied().map(Kind::of);
        let events = Kind {
            group: event::GROUP,
            ..Kind::of(&event::EVENTS)
        };
        let reviews = REVIEWS.iter().map(|review| Kind {
            group: review.group,
            version: "v1",
            name: review.kind,
            plural: review.plural,
            namespaced: false,
            kept: false,
        });
        resources.chain([events]).chain(reviews)
    }

    pub fn of(resource: &Resource) -> Kind {
        Kind {
            group: resource.group,
            version: resource.version,
            name: resource.kind,
            plural: resource.plural,
            namespaced: resource.namespaced,
            kept: true,
        }
    }

    /// `api/v1`, `apis/coordination.k8s.io/v1`.
    pub fn root(&self) -> String {
        match self.group {
            "" => format!("api/{}", self.version),
            group => format!("apis/{group}/{}", self.version),
        }
    }

    /// How its lists merge. Of the newer events only what every object has: they are stored as, and
    /// merge as, the older ones, whose fields have other names.
    pub fn merges(&self) -> &'static Type {
        match self.group {
            event::GROUP => Type::of_kind(""),
            _ => Type::of_kind(self.name),
        }
    }

    /// What makes its schema; `None` for one without a type of its own.
    pub fn generate(&self) -> Option<Generate> {
        KINDS
            .iter()
            .find(|(group, kind, _)| *group == self.group && *kind == self.name)
            .map(|(_, _, generate)| *generate)
    }

    /// `x-kubernetes-group-version-kind`.
    pub fn spelled(&self) -> Value {
        json!({"group": self.group, "version": self.version, "kind": self.name})
    }
}
