//! Service accounts: every namespace has one named `default`. Nothing here gives them rights.

use serde_json::Value;

use super::names;
use super::pod::PODS;
use crate::server::object;
use crate::server::resource::{Resource, Strategy};
use crate::server::rest::protobuf::{Field, Kind, OBJECT_META};
use crate::server::status::ApiError;
use crate::server::store::View;
use crate::server::table::network as table;

pub static SERVICE_ACCOUNTS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "serviceaccounts",
    singular: "serviceaccount",
    kind: "ServiceAccount",
    short_names: &["sa"],
    categories: &[],
    namespaced: true,
    subresources: &[],
    fields: &[],
    strategy: Strategy {
        unknown_fields: super::unknown_fields::<k8s_openapi::api::core::v1::ServiceAccount>,
        check_name: names::subdomain,
        tracks_generation: false,
        default: super::keep,
        prepare_create: super::keep,
        prepare_update: super::keep_update,
        validate: super::valid,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: true,
    },
    // `kubectl create serviceaccount` sends nothing else.
    protobuf: &[Field::new(1, "metadata", Kind::Message(OBJECT_META))],
    columns: table::SERVICE_ACCOUNT_COLUMNS,
    row: table::service_account_row,
};

/// The annotation of a pod that only shows what a node runs by itself.
const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";

/// Whether a new pod's account exists (admission plugin ServiceAccount). The one named `default` may
/// come later than the first pods of its namespace.
///
/// # Errors
/// 403 if not.
pub fn require(pod: &Value, view: &View<'_>) -> Result<(), ApiError> {
    let namespace = object::namespace(pod);
    let account = object::text(pod, "/spec/serviceAccountName");
    if matches!(account, "" | "default")
        || pod.pointer(MIRROR).is_some()
        || view
            .get(&SERVICE_ACCOUNTS.key(namespace, account))
            .is_some()
    {
        return Ok(());
    }
    Err(ApiError::Forbidden {
        resource: &PODS,
        name: asked_name(pod).to_owned(),
        why: format!(
            "error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
        ),
    })
}

/// Kubernetes decides this before it makes a name.
fn asked_name(pod: &Value) -> &str {
    let (name, base) = (
        object::name(pod),
        object::text(pod, "/metadata/generateName"),
    );
    match !base.is_empty() && name.starts_with(base) {
        true => base,
        false => name,
    }
}
