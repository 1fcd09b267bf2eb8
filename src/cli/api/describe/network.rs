//! Services and where they lead.

use anyhow::Context;
use k8s_openapi::api::core::v1::{Endpoints, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::http;
use super::super::resource::{Object, escape};
use super::events::finish;
use super::writer::{Text, Writer, all, int_or_string, joined, or_none};
use super::{Scene, typed};

/// So many addresses of a port are shown.
const SHOWN: usize = 3;

pub async fn service(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    let service: Service = typed(object)?;
    let slices = slices_of(scene, &service).await?;
    let spec = service.spec.clone().unwrap_or_default();
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut w = Writer::new();
    w.head(&service.metadata);
    w.field(0, "Selector", joined(spec.selector.as_ref()));
    w.field(0, "Type", spec.type_.text());
    w.given(0, "IP Family Policy", spec.ip_family_policy.as_ref());
    w.field(0, "IP Families", or_none(&all(&spec.ip_families).join(",")));
    w.field(0, "IP", spec.cluster_ip.text());
    w.field(0, "IPs", or_none(&all(&spec.cluster_ips).join(",")));
    w.given(0, "External IPs", given(&all(&spec.external_ips).join(",")));
    w.given(
        0,
        "Desired LoadBalancer IP",
        given(spec.load_balancer_ip.text()),
    );
    w.given(0, "External Name", given(spec.external_name.text()));
    w.given(0, "LoadBalancer Ingress", given(&ingress(&service)));
    for port in all(&spec.ports) {
        self::port(&mut w, port, &slices);
    }
    w.field(0, "Session Affinity", spec.session_affinity.text());
    w.given(
        0,
        "External Traffic Policy",
        given(spec.external_traffic_policy.text()),
    );
    w.given(
        0,
        "Internal Traffic Policy",
        spec.internal_traffic_policy.as_ref(),
    );
    w.given(
        0,
        "HealthCheck NodePort",
        spec.health_check_node_port.filter(|port| *port != 0),
    );
    let ranges = all(&spec.load_balancer_source_ranges).join(",");
    w.given(0, "LoadBalancer Source Ranges", given(&ranges));
    w.given(
        0,
        "Traffic Distribution",
        spec.traffic_distribution.as_ref(),
    );
    Ok(finish(w, scene.events(object).await?))
}

async fn slices_of(scene: &Scene<'_>, service: &Service) -> anyhow::Result<Vec<EndpointSlice>> {
    let label = format!(
        "kubernetes.io/service-name={}",
        service.metadata.name.text()
    );
    let url = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices?labelSelector={}",
        escape(service.metadata.namespace.text()),
        escape(&label)
    );
    let mut list = http::get(scene.client, &url).await?;
    serde_json::from_value(list["items"].take())
        .context("endpoint slices are not as Kubernetes has them")
}

fn ingress(service: &Service) -> String {
    let status = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref());
    let points = status
        .map(|balancer| all(&balancer.ingress))
        .unwrap_or_default();
    let points = points
        .iter()
        .map(|point| match (point.ip.text(), &point.ip_mode) {
            ("", _) => point.hostname.text().to_owned(),
            (ip, Some(mode)) => format!("{ip} ({mode})"),
            (ip, None) => ip.to_owned(),
        });
    points.collect::<Vec<_>>().join(", ")
}

fn port(w: &mut Writer, port: &ServicePort, slices: &[EndpointSlice]) {
    let name = match port.name.text() {
        "" => "<unset>",
        name => name,
    };
    let protocol = port.protocol.text();
    w.field(0, "Port", format!("{name}\t{}/{protocol}", port.port));
    let target = port.target_port.clone().unwrap_or(IntOrString::Int(0));
    w.field(
        0,
        "TargetPort",
        format!("{}/{protocol}", int_or_string(&target)),
    );
    w.given(0, "AppProtocol", port.app_protocol.as_ref());
    if let Some(node_port) = port.node_port.filter(|port| *port != 0) {
        w.field(0, "NodePort", format!("{name}\t{node_port}/{protocol}"));
    }
    w.field(0, "Endpoints", addresses(slices, port.name.text()));
}

/// Who is ready behind a port, by its name.
fn addresses(slices: &[EndpointSlice], port: &str) -> String {
    if slices.is_empty() {
        return "<none>".to_owned();
    }
    let mut ready = Vec::new();
    // Kubectl notices that there are more with the next endpoint, ready or not.
    let mut more = false;
    for slice in slices {
        let ports = all(&slice.ports);
        let numbers: Vec<Option<i32>> = match ports.is_empty() {
            true => vec![None],
            false => {
                let ours = ports.iter().filter(|one| one.name.text() == port);
                ours.map(|one| one.port).collect()
            }
        };
        for number in numbers {
            for endpoint in &slice.endpoints {
                more |= ready.len() >= SHOWN;
                if is_ready(endpoint) {
                    ready.push(address(endpoint, number));
                }
            }
        }
    }
    let shown = ready[..ready.len().min(SHOWN)].join(",");
    match more {
        true => format!("{shown} + {} more...", ready.len() - SHOWN),
        false => shown,
    }
}

fn is_ready(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions
        .and_then(|conditions| conditions.ready)
        .unwrap_or(true)
}

fn address(endpoint: &Endpoint, port: Option<i32>) -> String {
    let address = endpoint.addresses.first().map_or("", String::as_str);
    match port {
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address.to_owned(),
    }
}

pub async fn endpoints(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    let endpoints: Endpoints = typed(object)?;
    let mut w = Writer::new();
    w.head(&endpoints.metadata);
    w.line(0, "Subsets:");
    for subset in all(&endpoints.subsets) {
        for (title, addresses) in [
            ("Addresses", &subset.addresses),
            ("NotReadyAddresses", &subset.not_ready_addresses),
        ] {
            let addresses: Vec<&str> = all(addresses).iter().map(|one| one.ip.as_str()).collect();
            w.field(1, title, or_none(&addresses.join(",")));
        }
        let ports = all(&subset.ports);
        if !ports.is_empty() {
            w.line(1, "Ports:");
            w.line(2, "Name\tPort\tProtocol");
            w.line(2, "----\t----\t--------");
        }
        for port in ports {
            let name = port
                .name
                .as_deref()
                .filter(|name| !name.is_empty())
                .unwrap_or("<unset>");
            w.line(
                2,
                format!("{name}\t{}\t{}", port.port, port.protocol.text()),
            );
        }
        w.line(0, "");
    }
    Ok(finish(w, scene.events(object).await?))
}

pub async fn endpoint_slice(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    const UNSET: &str = "<unset>";
    let slice: EndpointSlice = typed(object)?;
    let mut w = Writer::new();
    w.head(&slice.metadata);
    w.field(0, "AddressType", &slice.address_type);
    match all(&slice.ports) {
        [] => w.line(0, "Ports: <unset>"),
        ports => {
            w.line(0, "Ports:");
            w.line(1, "Name\tPort\tProtocol");
            w.line(1, "----\t----\t--------");
            for port in ports {
                let name = port
                    .name
                    .as_deref()
                    .filter(|name| !name.is_empty())
                    .unwrap_or(UNSET);
                let number = port.port.map_or(UNSET.to_owned(), |port| port.to_string());
                w.line(1, format!("{name}\t{number}\t{}", port.protocol.text()));
            }
        }
    }
    match slice.endpoints.is_empty() {
        true => w.line(0, "Endpoints: <none>"),
        false => w.line(0, "Endpoints:"),
    }
    for endpoint in &slice.endpoints {
        w.field(1, "- Addresses", or_none(&endpoint.addresses.join(", ")));
        w.line(2, "Conditions:");
        let ready = endpoint
            .conditions
            .as_ref()
            .and_then(|conditions| conditions.ready);
        w.field(
            3,
            "Ready",
            ready.map_or(UNSET.to_owned(), |ready| ready.to_string()),
        );
        let or_unset = |text: &Option<String>| text.as_deref().unwrap_or(UNSET).to_owned();
        w.field(2, "Hostname", or_unset(&endpoint.hostname));
        let target = endpoint.target_ref.as_ref();
        let target = target.map(|target| format!("{}/{}", target.kind.text(), target.name.text()));
        w.given(2, "TargetRef", target);
        w.field(2, "NodeName", or_unset(&endpoint.node_name));
        w.field(2, "Zone", or_unset(&endpoint.zone));
    }
    Ok(finish(w, scene.events(object).await?))
}
