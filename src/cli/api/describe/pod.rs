//! Pods.

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::duration::since;
use super::super::resource::Object;
use super::container::{self, Place};
use super::events::{Events, finish};
use super::template::{spread, tolerations};
use super::writer::{Text, Writer, all, date};
use super::{Scene, typed, volume};

const MIRROR: &str = "kubernetes.io/config.mirror";

pub async fn describe(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    let pod: Pod = typed(object)?;
    // What a node runs on its own has another uid there than here.
    let mirrored = pod
        .metadata
        .annotations
        .as_ref()
        .and_then(|map| map.get(MIRROR));
    let events = match mirrored {
        Some(uid) if scene.show_events => Some(Events::about(scene.client, object, "", uid).await?),
        _ => scene.events_of(object, "").await?,
    };
    let mut w = Writer::new();
    write(&mut w, &pod);
    Ok(finish(w, events))
}

fn write(w: &mut Writer, pod: &Pod) {
    let spec = pod.spec.clone().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    w.identity(&pod.metadata);
    placement(w, &spec, &status);
    w.labels_and_annotations(&pod.metadata);
    phase(w, pod, &status);
    let security = spec.security_context.as_ref();
    if let Some(profile) = security.and_then(|security| security.seccomp_profile.as_ref()) {
        container::seccomp(w, 0, profile);
    }
    w.field(0, "IP", status.pod_ip.text());
    let addresses = all(&status.pod_ips);
    match addresses.is_empty() {
        true => w.field(0, "IPs", "<none>"),
        false => w.line(0, "IPs:"),
    }
    for address in addresses {
        w.field(1, "IP", &address.ip);
    }
    w.given(0, "Controlled By", controller(&pod.metadata));
    w.given(0, "NominatedNodeName", given(&status.nominated_node_name));
    containers(w, pod, &spec, &status);
    conditions(w, &spec, &status);
    volume::write(w, all(&spec.volumes), "");
    w.field(0, "QoS Class", status.qos_class.text());
    w.pairs("Node-Selectors", spec.node_selector.as_ref());
    tolerations(w, "Tolerations", all(&spec.tolerations));
    spread(w, all(&spec.topology_spread_constraints), "");
}

fn given(text: &Option<String>) -> Option<&str> {
    Some(text.text()).filter(|text| !text.is_empty())
}

/// `ReplicaSet/web-5d4f`.
pub fn controller(metadata: &ObjectMeta) -> Option<String> {
    let mut owners = metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true))?;
    Some(format!("{}/{}", owner.kind, owner.name))
}

fn placement(w: &mut Writer, spec: &PodSpec, status: &PodStatus) {
    w.given(0, "Priority", spec.priority);
    w.given(0, "Priority Class Name", given(&spec.priority_class_name));
    w.given(0, "Runtime Class Name", given(&spec.runtime_class_name));
    w.given(0, "Service Account", given(&spec.service_account_name));
    match given(&spec.node_name) {
        None => w.field(0, "Node", "<none>"),
        Some(node) => w.field(0, "Node", format!("{node}/{}", status.host_ip.text())),
    }
    w.given(
        0,
        "Start Time",
        status.start_time.as_ref().map(|time| date(Some(time))),
    );
}

fn phase(w: &mut Writer, pod: &Pod, status: &PodStatus) {
    let phase = status.phase.text();
    match &pod.metadata.deletion_timestamp {
        Some(time) if !matches!(phase, "Failed" | "Succeeded") => {
            w.field(
                0,
                "Status",
                format!("Terminating (lasts {})", since(time.0)),
            );
            let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            w.field(0, "Termination Grace Period", format!("{seconds}s"));
        }
        _ => w.field(0, "Status", phase),
    }
    w.given(0, "Reason", given(&status.reason));
    w.given(0, "Message", given(&status.message));
}

fn containers(w: &mut Writer, pod: &Pod, spec: &PodSpec, status: &PodStatus) {
    let place = |title| Place {
        title,
        indent: "",
        pod: Some(pod),
    };
    let init = all(&spec.init_containers);
    if !init.is_empty() {
        let statuses = all(&status.init_container_statuses);
        container::write(w, &place("Init Containers"), init, statuses);
    }
    let statuses = all(&status.container_statuses);
    container::write(w, &place("Containers"), &spec.containers, statuses);
    let ephemeral: Vec<Container> = all(&spec.ephemeral_containers)
        .iter()
        .map(as_container)
        .collect();
    if !ephemeral.is_empty() {
        let statuses = all(&status.ephemeral_container_statuses);
        container::write(w, &place("Ephemeral Containers"), &ephemeral, statuses);
    }
}

/// As far as it is described.
fn as_container(container: &EphemeralContainer) -> Container {
    let container = container.clone();
    Container {
        name: container.name,
        image: container.image,
        command: container.command,
        args: container.args,
        env: container.env,
        env_from: container.env_from,
        volume_mounts: container.volume_mounts,
        security_context: container.security_context,
        ..Container::default()
    }
}

fn conditions(w: &mut Writer, spec: &PodSpec, status: &PodStatus) {
    let conditions = all(&status.conditions);
    let gates = all(&spec.readiness_gates);
    if !gates.is_empty() {
        w.line(0, "Readiness Gates:");
        w.line(1, "Type\tStatus");
    }
    for gate in gates {
        let condition = conditions.iter().find(|c| c.type_ == gate.condition_type);
        let status = condition.map_or("<none>", |condition| condition.status.as_str());
        w.line(1, format!("{} \t{status} ", gate.condition_type));
    }
    if !conditions.is_empty() {
        w.line(0, "Conditions:");
        w.line(1, "Type\tStatus");
    }
    for condition in conditions {
        w.line(1, format!("{} \t{} ", condition.type_, condition.status));
    }
}
