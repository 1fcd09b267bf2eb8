//! What is behind a service: the pods its selector selects, as Endpoints and as EndpointSlices.
//!
//! A service without a selector is left to whoever made it.

use std::sync::Arc;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::behind::{Behind, behind, slices, subsets};
use super::informer::Informer;
use super::queue::Queue;
use super::selectors::Selectors;
use super::{note, write};
use crate::model::Family;
use crate::server::kinds::endpoint_slice::ENDPOINT_SLICES;
use crate::server::kinds::endpoints::ENDPOINTS;
use crate::server::kinds::pod::PODS;
use crate::server::kinds::service::{SERVICES, has_cluster_ip};
use crate::server::kinds::service_families;
use crate::server::object;
use crate::server::selector::LabelSelector;
use crate::server::status::ApiError;
use crate::server::store::{Store, StoredObject};

/// Services looked at together.
const ROUND: usize = 64;

pub async fn run(store: Store) {
    let mut services = Informer::new(&store, &SERVICES);
    let mut pods = Informer::new(&store, &PODS);
    let mut known = Selectors::new(selector);
    let mut queue = Queue::default();
    loop {
        tokio::select! {
            seen = services.next() => known.see(seen, &mut queue),
            seen = pods.next() => known.see_selected(seen, &mut queue),
        }
        while !queue.is_empty() {
            let due = queue.take(Instant::now(), ROUND);
            join_all(due.iter().map(|key| look(&store, key))).await;
        }
    }
}

/// `None` where a service selects nothing.
fn selector(service: &Value) -> Option<LabelSelector> {
    let labels = service.pointer("/spec/selector")?;
    if !has_cluster_ip(service) {
        return None;
    }
    LabelSelector::of(&json!({"matchLabels": labels})).filter(|selector| !selector.is_empty())
}

/// Brings what leads to one service's pods up to date.
async fn look(store: &Store, key: &Arc<str>) {
    let Some(service) = store.get(key) else {
        return forget(store, key).await;
    };
    let value = service.value();
    let Some(selector) = selector(&value) else {
        return;
    };
    let (pods, _) = store.list(&PODS.prefix(Some(service.namespace())));
    let pods: Vec<Value> = pods
        .iter()
        .filter(|pod| selector.matches(|key| pod.label(key)))
        .map(|pod| pod.value())
        .collect();
    let behind = |family: Family| -> Vec<Behind> {
        let each = pods.iter();
        each.filter_map(|pod| behind(&value, pod, family)).collect()
    };
    let families = service_families::of(&value);
    // Endpoints have one family, the first.
    let first = families.first().copied().unwrap_or(Family::V4);
    let endpoints = json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "namespace": service.namespace(),
            "name": service.name(),
            "labels": labels(&value, "endpoints.kubernetes.io/managed-by", "endpoint-controller"),
        },
        "subsets": subsets(&behind(first)),
    });
    put(store, &ENDPOINTS, endpoints).await;
    for family in [Family::V4, Family::V6] {
        let behind = families.contains(&family).then(|| behind(family));
        write_slices(store, &service, &value, family, behind).await;
    }
}

/// A namespace that is going away takes nothing new.
async fn put(store: &Store, resource: &'static crate::server::resource::Resource, wanted: Value) {
    match write::put(store, resource, wanted).await {
        Err(ApiError::NamespaceTerminating { .. }) => {}
        result => {
            note("write what is behind a service", result);
        }
    }
}

/// The service's own labels, whose they are, and whether it is headless.
fn labels(service: &Value, managed_by: &str, manager: &str) -> Value {
    let mut labels = service["metadata"]
        .get("labels")
        .cloned()
        .unwrap_or_else(|| json!({}));
    labels[managed_by] = manager.into();
    if object::text(service, "/spec/clusterIP") == "None" {
        labels["service.kubernetes.io/headless"] = "".into();
    }
    labels
}

/// The slices of a service and a family in the order of their names: as many as are needed, the rest
/// goes. `behind` is `None` where the service is not of that family.
async fn write_slices(
    store: &Store,
    service: &StoredObject,
    value: &Value,
    family: Family,
    behind: Option<Vec<Behind>>,
) {
    const SERVICE: &str = "kubernetes.io/service-name";
    const MANAGER: &str = "endpointslice.kubernetes.io/managed-by";
    const OURS: &str = "endpointslice-controller.k8s.io";
    let (all, _) = store.list(&ENDPOINT_SLICES.prefix(Some(service.namespace())));
    let mut existing = all.into_iter().filter(|slice| {
        slice.label(SERVICE) == Some(service.name())
            && slice.label(MANAGER) == Some(OURS)
            && slice.value()["addressType"] == service_families::name(family)
    });
    let mut labels = labels(value, MANAGER, OURS);
    labels[SERVICE] = service.name().into();
    for (endpoints, ports) in behind.as_deref().map(slices).into_iter().flatten() {
        let name = match existing.next() {
            Some(slice) => slice.name().to_owned(),
            None => format!("{}-{}", service.name(), crate::server::random::suffix()),
        };
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": service.namespace(),
                "name": name,
                "generateName": format!("{}-", service.name()),
                "labels": &labels,
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Service", "name": service.name(),
                    "uid": &service.uid, "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "addressType": service_families::name(family),
            "endpoints": endpoints,
            "ports": ports,
        });
        put(store, &ENDPOINT_SLICES, slice).await;
    }
    for slice in existing {
        note(
            "delete an endpoint slice",
            write::delete(store, &slice).await,
        );
    }
}

/// A service that is gone: its slices go with it, being owned, and its Endpoints here.
async fn forget(store: &Store, service: &str) {
    let mut parts = service.split('/').skip(1);
    let (namespace, name) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    if let Some(endpoints) = store.get(&ENDPOINTS.key(namespace, name)) {
        note(
            "delete the endpoints of a service",
            write::delete(store, &endpoints).await,
        );
    }
}
