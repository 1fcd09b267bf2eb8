//! Nodes, with what runs on them.

use std::collections::BTreeSet;

use anyhow::Context;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeStatus, Pod};

use super::super::duration::since;
use super::super::http;
use super::super::resource::{Object, escape};
use super::events::{Events, finish};
use super::requests::{Sum, Which};
use super::writer::{Quantities, Text, Writer, all, date, moment, or_none, quantity};
use super::{Scene, typed};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE: &str = "kubernetes.io/role";

pub async fn describe(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    let node: Node = typed(object)?;
    let name = object.name();
    // Some write a node's name where its uid belongs.
    let events = match scene.events(object).await? {
        Some(events) => Some(events.and(Events::about(scene.client, object, "Node", name).await?)),
        None => None,
    };
    let lease = format!(
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{}",
        escape(name)
    );
    let lease = http::get(scene.client, &lease).await;
    let pods = pods_on(scene, name).await?;
    let mut w = Writer::new();
    write(&mut w, &node);
    match lease {
        Ok(lease) => {
            let lease: Lease = serde_json::from_value(lease).context("a lease")?;
            self::lease(&mut w, &lease.spec.unwrap_or_default());
        }
        Err(error) => w.field(0, "Lease", format!("Failed to get lease: {error:#}")),
    }
    let status = node.status.clone().unwrap_or_default();
    self::status(&mut w, &status);
    ranges(&mut w, &node);
    self::pods(&mut w, &status, &pods);
    Ok(finish(w, events))
}

async fn pods_on(scene: &Scene<'_>, node: &str) -> anyhow::Result<Vec<Pod>> {
    let fields = format!("spec.nodeName={node},status.phase!=Failed,status.phase!=Succeeded");
    let url = format!("/api/v1/pods?fieldSelector={}", escape(&fields));
    let mut list = http::get(scene.client, &url).await?;
    serde_json::from_value(list["items"].take()).context("pods are not as Kubernetes has them")
}

fn write(w: &mut Writer, node: &Node) {
    let spec = node.spec.clone().unwrap_or_default();
    w.field(0, "Name", node.metadata.name.text());
    w.field(0, "Roles", or_none(&roles(node)));
    w.labels_and_annotations(&node.metadata);
    w.field(
        0,
        "CreationTimestamp",
        date(node.metadata.creation_timestamp.as_ref()),
    );
    let mut taints = all(&spec.taints).to_vec();
    taints.sort_by_key(|taint| format!("{},{}", taint.effect, taint.key));
    let taint = |taint: &k8s_openapi::api::core::v1::Taint| match taint.value.text() {
        "" => format!("{}:{}", taint.key, taint.effect),
        value => format!("{}={value}:{}", taint.key, taint.effect),
    };
    let taints: Vec<String> = taints.iter().map(taint).collect();
    w.lines("Taints", &taints);
    w.field(0, "Unschedulable", spec.unschedulable.unwrap_or(false));
}

fn roles(node: &Node) -> String {
    let labels = node.metadata.labels.iter().flatten();
    let role = |(key, value): (&String, &String)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) => Some(role.to_owned()),
        None => (key == ROLE).then(|| value.clone()),
    };
    let roles: BTreeSet<String> = labels
        .filter_map(role)
        .filter(|role| !role.is_empty())
        .collect();
    roles.into_iter().collect::<Vec<_>>().join(",")
}

fn lease(w: &mut Writer, lease: &LeaseSpec) {
    let time = |time: Option<jiff::Timestamp>| match time {
        Some(time) => moment(Some(time)),
        None => "<unset>".to_owned(),
    };
    w.line(0, "Lease:");
    w.field(
        1,
        "HolderIdentity",
        lease.holder_identity.as_deref().unwrap_or("<unset>"),
    );
    w.field(
        1,
        "AcquireTime",
        time(lease.acquire_time.as_ref().map(|time| time.0)),
    );
    w.field(
        1,
        "RenewTime",
        time(lease.renew_time.as_ref().map(|time| time.0)),
    );
}

fn status(w: &mut Writer, status: &NodeStatus) {
    let conditions = all(&status.conditions);
    if !conditions.is_empty() {
        w.line(0, "Conditions:");
        w.line(
            1,
            "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage",
        );
        w.line(
            1,
            "----\t------\t-----------------\t------------------\t------\t-------",
        );
    }
    for condition in conditions {
        w.line(
            1,
            format!(
                "{} \t{} \t{} \t{} \t{} \t{}",
                condition.type_,
                condition.status,
                date(condition.last_heartbeat_time.as_ref()),
                date(condition.last_transition_time.as_ref()),
                condition.reason.text(),
                condition.message.text()
            ),
        );
    }
    w.line(0, "Addresses:");
    for address in all(&status.addresses) {
        w.field(1, &address.type_, &address.address);
    }
    quantities(w, "Capacity", status.capacity.as_ref());
    quantities(w, "Allocatable", status.allocatable.as_ref());
    let info = status.node_info.clone().unwrap_or_default();
    w.line(0, "System Info:");
    for (title, value) in [
        ("Machine ID", info.machine_id),
        ("System UUID", info.system_uuid),
        ("Boot ID", info.boot_id),
        ("Kernel Version", info.kernel_version),
        ("OS Image", info.os_image),
        ("Operating System", info.operating_system),
        ("Architecture", info.architecture),
        ("Container Runtime Version", info.container_runtime_version),
        ("Kubelet Version", info.kubelet_version),
        ("Kube-Proxy Version", info.kube_proxy_version),
    ] {
        w.field(1, title, value);
    }
}

fn quantities(w: &mut Writer, title: &str, quantities: Option<&Quantities>) {
    let Some(quantities) = quantities.filter(|quantities| !quantities.is_empty()) else {
        return;
    };
    w.line(0, format!("{title}:"));
    for (name, written) in quantities {
        w.field(1, name, quantity(written));
    }
}

fn ranges(w: &mut Writer, node: &Node) {
    let spec = node.spec.clone().unwrap_or_default();
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    w.given(0, "PodCIDR", given(spec.pod_cidr.unwrap_or_default()));
    w.given(0, "PodCIDRs", given(all(&spec.pod_cidrs).join(",")));
    w.given(0, "ProviderID", given(spec.provider_id.unwrap_or_default()));
}

/// Each pod, and all together, against what the node has to give.
fn pods(w: &mut Writer, status: &NodeStatus, pods: &[Pod]) {
    let allocatable = status.allocatable.as_ref().filter(|map| !map.is_empty());
    let node = Sum::written(allocatable.or(status.capacity.as_ref()));
    let share = |sum: &Sum, name: &str| {
        let part = sum.of(name);
        format!("{part} ({}%)", part.percent_of(node.of(name)))
    };
    w.field(
        0,
        "Non-terminated Pods",
        format!("({} in total)", pods.len()),
    );
    w.line(
        1,
        "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge",
    );
    w.line(
        1,
        "---------\t----\t\t------------\t----------\t---------------\t-------------\t---",
    );
    let (mut all_requests, mut all_limits) = (Sum::default(), Sum::default());
    for pod in pods {
        let requests = Sum::pod(pod, Which::Requests);
        let limits = Sum::pod(pod, Which::Limits);
        let created = pod.metadata.creation_timestamp.as_ref();
        let cells = [
            pod.metadata.namespace.text().to_owned(),
            pod.metadata.name.text().to_owned(),
            String::new(),
            share(&requests, "cpu"),
            share(&limits, "cpu"),
            share(&requests, "memory"),
            share(&limits, "memory"),
            created.map_or("<unknown>".to_owned(), |time| since(time.0)),
        ];
        w.line(1, cells.join("\t"));
        all_requests.add(&requests);
        all_limits.add(&limits);
    }
    w.line(0, "Allocated resources:");
    w.line(
        1,
        "(Total limits may be over 100 percent, i.e., overcommitted.)",
    );
    w.line(1, "Resource\tRequests\tLimits");
    w.line(1, "--------\t--------\t------");
    let named = allocatable
        .or(status.capacity.as_ref())
        .into_iter()
        .flatten();
    let named: Vec<&String> = named.map(|(name, _)| name).collect();
    let huge = named
        .iter()
        .copied()
        .filter(|name| name.starts_with("hugepages-"));
    let usual = ["cpu", "memory", "ephemeral-storage"];
    for name in usual.into_iter().chain(huge.map(String::as_str)) {
        w.line(
            1,
            format!(
                "{name}\t{}\t{}",
                share(&all_requests, name),
                share(&all_limits, name)
            ),
        );
    }
    for name in named {
        let is_usual = usual.contains(&name.as_str()) || name == "pods";
        if !is_usual && !name.starts_with("hugepages-") {
            w.line(
                1,
                format!("{name}\t{}\t{}", all_requests.of(name), all_limits.of(name)),
            );
        }
    }
}
