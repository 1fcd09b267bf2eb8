//! What keeps pods running: daemon sets, deployments, replica sets.

use anyhow::Context;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::super::http;
use super::super::resource::{Object, escape};
use super::events::finish;
use super::pod::controller;
use super::writer::{
    Text, Writer, all, date, int_or_string, joined, or_none, selector, selector_or_none,
};
use super::{Scene, template, typed};

const HASH: &str = "pod-template-hash";

pub async fn daemon_set(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    let set: DaemonSet = typed(object)?;
    let spec = set.spec.clone().unwrap_or_default();
    let status = set.status.clone().unwrap_or_default();
    let pods = pods(scene, &set.metadata, &spec.selector).await?;
    let mut w = Writer::new();
    w.identity(&set.metadata);
    w.field(0, "Selector", selector(&spec.selector));
    let nodes = spec
        .template
        .spec
        .as_ref()
        .and_then(|spec| spec.node_selector.as_ref());
    w.field(0, "Node-Selector", joined(nodes));
    w.labels_and_annotations(&set.metadata);
    for (title, number) in [
        (
            "Desired Number of Nodes Scheduled",
            status.desired_number_scheduled,
        ),
        (
            "Current Number of Nodes Scheduled",
            status.current_number_scheduled,
        ),
        (
            "Number of Nodes Scheduled with Up-to-date Pods",
            status.updated_number_scheduled.unwrap_or(0),
        ),
        (
            "Number of Nodes Scheduled with Available Pods",
            status.number_available.unwrap_or(0),
        ),
        ("Number of Nodes Misscheduled", status.number_misscheduled),
    ] {
        w.line(0, format!("{title}: {number}"));
    }
    w.field(0, "Pods Status", pods);
    template::write(&mut w, &spec.template);
    Ok(finish(w, scene.events(object).await?))
}

pub async fn replica_set(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    let set: ReplicaSet = typed(object)?;
    let spec = set.spec.clone().unwrap_or_default();
    let status = set.status.clone().unwrap_or_default();
    let pods = pods(scene, &set.metadata, &spec.selector).await?;
    let mut w = Writer::new();
    w.identity(&set.metadata);
    w.field(0, "Selector", selector_or_none(Some(&spec.selector)));
    w.labels_and_annotations(&set.metadata);
    w.given(0, "Controlled By", controller(&set.metadata));
    let wanted = spec.replicas.unwrap_or(0);
    w.field(
        0,
        "Replicas",
        format!("{} current / {wanted} desired", status.replicas),
    );
    w.field(0, "Pods Status", pods);
    template::write(&mut w, &spec.template.unwrap_or_default());
    let condition = all(&status.conditions).iter();
    conditions(
        &mut w,
        condition.map(|c| [c.type_.as_str(), c.status.as_str(), c.reason.text()]),
    );
    Ok(finish(w, scene.events(object).await?))
}

pub async fn deployment(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    let deployment: Deployment = typed(object)?;
    let spec = deployment.spec.clone().unwrap_or_default();
    let status = deployment.status.clone().unwrap_or_default();
    let sets = replica_sets(scene, &deployment).await?;
    let mut w = Writer::new();
    w.identity(&deployment.metadata);
    w.field(
        0,
        "CreationTimestamp",
        date(deployment.metadata.creation_timestamp.as_ref()),
    );
    w.labels_and_annotations(&deployment.metadata);
    w.field(0, "Selector", selector(&spec.selector));
    let number = |number: Option<i32>| number.unwrap_or(0);
    w.field(
        0,
        "Replicas",
        format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            number(spec.replicas),
            number(status.updated_replicas),
            number(status.replicas),
            number(status.available_replicas),
            number(status.unavailable_replicas)
        ),
    );
    let strategy = spec.strategy.clone().unwrap_or_default();
    w.field(0, "StrategyType", strategy.type_.text());
    w.field(0, "MinReadySeconds", number(spec.min_ready_seconds));
    if let Some(rolling) = &strategy.rolling_update {
        let [unavailable, surge] = [&rolling.max_unavailable, &rolling.max_surge]
            .map(|given| given.as_ref().map_or("<nil>".to_owned(), int_or_string));
        let text = format!("{unavailable} max unavailable, {surge} max surge");
        w.field(0, "RollingUpdateStrategy", text);
    }
    template::write(&mut w, &spec.template);
    let condition = all(&status.conditions).iter();
    conditions(
        &mut w,
        condition.map(|c| [c.type_.as_str(), c.status.as_str(), c.reason.text()]),
    );
    if !sets.is_empty() {
        let (new, old): (Vec<_>, Vec<_>) = sets.iter().partition(|set| is_of(set, &spec.template));
        w.field(0, "OldReplicaSets", in_words(&old));
        w.field(0, "NewReplicaSet", in_words(&new));
    }
    Ok(finish(w, scene.events(object).await?))
}

fn conditions<'a>(w: &mut Writer, conditions: impl Iterator<Item = [&'a str; 3]>) {
    for (index, [kind, status, reason]) in conditions.enumerate() {
        if index == 0 {
            w.line(0, "Conditions:");
            w.line(1, "Type\tStatus\tReason");
            w.line(1, "----\t------\t------");
        }
        w.line(1, format!("{kind} \t{status}\t{reason}"));
    }
}

/// How many of an owner's pods are in which phase.
async fn pods(
    scene: &Scene<'_>,
    owner: &ObjectMeta,
    chosen: &LabelSelector,
) -> anyhow::Result<String> {
    let url = format!(
        "/api/v1/namespaces/{}/pods?labelSelector={}",
        escape(owner.namespace.text()),
        escape(&selector(chosen))
    );
    let mut list = http::get(scene.client, &url).await?;
    let pods: Vec<Pod> = serde_json::from_value(list["items"].take())
        .context("pods are not as Kubernetes has them")?;
    let count = |phase: &str| {
        let in_phase = |pod: &&Pod| pod.status.as_ref().is_some_and(|s| s.phase.text() == phase);
        pods.iter()
            .filter(|pod| is_controlled(&pod.metadata, owner))
            .filter(in_phase)
            .count()
    };
    let [running, waiting, succeeded, failed] =
        ["Running", "Pending", "Succeeded", "Failed"].map(count);
    Ok(format!(
        "{running} Running / {waiting} Waiting / {succeeded} Succeeded / {failed} Failed"
    ))
}

fn is_controlled(object: &ObjectMeta, by: &ObjectMeta) -> bool {
    let mut owners = object.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true) && owner.uid == by.uid.text())
}

/// A deployment's own, the oldest first.
async fn replica_sets(
    scene: &Scene<'_>,
    deployment: &Deployment,
) -> anyhow::Result<Vec<ReplicaSet>> {
    let chosen = deployment
        .spec
        .as_ref()
        .map(|spec| selector(&spec.selector))
        .unwrap_or_default();
    let url = format!(
        "/apis/apps/v1/namespaces/{}/replicasets?labelSelector={}",
        escape(deployment.metadata.namespace.text()),
        escape(&chosen)
    );
    let mut list = http::get(scene.client, &url).await?;
    let sets = serde_json::from_value(list["items"].take());
    let mut sets: Vec<ReplicaSet> = sets.context("replica sets are not as Kubernetes has them")?;
    sets.retain(|set| is_controlled(&set.metadata, &deployment.metadata));
    let age = |set: &ReplicaSet| set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    sets.sort_by(|a, b| {
        age(a)
            .cmp(&age(b))
            .then(a.metadata.name.cmp(&b.metadata.name))
    });
    Ok(sets)
}

/// Whether a replica set makes the pods that a template describes.
fn is_of(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let of_set = set.spec.as_ref().and_then(|spec| spec.template.clone());
    let mut of_set = of_set.unwrap_or_default();
    let metadata = of_set.metadata.get_or_insert_default();
    if let Some(labels) = &mut metadata.labels {
        labels.remove(HASH);
    }
    of_set == *template
}

fn in_words(sets: &[&ReplicaSet]) -> String {
    let words = sets.iter().map(|set| {
        let wanted = set
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(0);
        let made = set.status.as_ref().map_or(0, |status| status.replicas);
        format!(
            "{} ({made}/{wanted} replicas created)",
            set.metadata.name.text()
        )
    });
    or_none(&words.collect::<Vec<_>>().join(", ")).to_owned()
}
