//! The service `kubernetes`, by which pods would find this server: made anew when somebody deletes
//! it, as kube-apiserver does.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::informer::{Informer, Seen};
use super::{note, write};
use crate::server::kinds::endpoint_slice::ENDPOINT_SLICES;
use crate::server::kinds::endpoints::ENDPOINTS;
use crate::server::kinds::service::SERVICES;
use crate::server::kinds::service_range::API_ADDRESS;
use crate::server::store::{EventKind, Store};

const NAME: &str = "kubernetes";
const NAMESPACE: &str = "default";

/// `listens`: where the server does; addresses of this machine alone lead no pod to it.
pub async fn run(store: Store, listens: Vec<SocketAddr>) {
    let mut services = Informer::new(&store, &SERVICES);
    let reachable = |address: &&SocketAddr| {
        let ip = address.ip();
        ip.is_ipv4() && !ip.is_loopback() && !ip.is_unspecified()
    };
    let address = listens.iter().find(reachable).or(listens.first());
    loop {
        let missing = match services.next().await {
            Seen::All(_) => true,
            Seen::Changes(events) => events.iter().any(|event| {
                event.kind == EventKind::Deleted
                    && (event.object.namespace(), event.object.name()) == (NAMESPACE, NAME)
            }),
        };
        if let Some(address) = address.filter(|_| missing) {
            ensure(&store, *address, listens.iter().find(reachable)).await;
        }
    }
}

async fn ensure(store: &Store, listens: SocketAddr, reachable: Option<&SocketAddr>) {
    let port = listens.port();
    let written = write::put(store, &SERVICES, service(port)).await;
    note("make the service kubernetes", written);
    let ports = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
    let subsets = match reachable {
        Some(address) => json!([{"addresses": [{"ip": address.ip()}], "ports": ports}]),
        None => json!([]),
    };
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "namespace": NAMESPACE, "name": NAME,
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": subsets,
    });
    let written = write::put(store, &ENDPOINTS, endpoints).await;
    note("write the endpoints of the service kubernetes", written);
    let endpoints: Vec<Value> = reachable
        .iter()
        .map(|address| json!({"addresses": [address.ip()], "conditions": {"ready": true}}))
        .collect();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": NAMESPACE, "name": NAME, "labels": {"kubernetes.io/service-name": NAME},
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    });
    let written = write::put(store, &ENDPOINT_SLICES, slice).await;
    note(
        "write the endpoint slice of the service kubernetes",
        written,
    );
}

fn service(port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "namespace": NAMESPACE, "name": NAME,
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": API_ADDRESS.to_string(),
            "clusterIPs": [API_ADDRESS.to_string()],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            "sessionAffinity": "None",
        },
    })
}
