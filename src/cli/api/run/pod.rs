//! The pod that the flags of `podnet run` describe.

use std::collections::BTreeMap;

use anyhow::bail;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, Pod, PodSpec, PodStatus, ResourceRequirements,
    SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::Args;

/// As kubectl sends it: with the fields that it writes out though they say nothing.
pub fn built(args: &Args) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(described(args)?)?;
    args.overrides.apply(&mut value)?;
    // What is no field of a pod is dropped here, as kubectl drops it.
    let mut pod: Pod = serde_json::from_value(value)?;
    for container in pod.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        container
            .resources
            .get_or_insert_with(ResourceRequirements::default);
    }
    pod.status.get_or_insert_with(PodStatus::default);
    let mut value = serde_json::to_value(pod)?;
    let created = &mut value["metadata"]["creationTimestamp"];
    *created = created.take();
    Ok(value)
}

fn described(args: &Args) -> anyhow::Result<Pod> {
    let mut labels = pairs("label", &args.labels)?;
    if labels.is_empty() {
        labels.insert("run".to_owned(), args.name.clone());
    }
    let mut annotations = BTreeMap::new();
    for text in &args.annotations {
        let Some((key, value)) = text.split_once('=') else {
            bail!("invalid annotations format: {text}");
        };
        annotations.insert(key.to_owned(), value.to_owned());
    }
    Ok(Pod {
        metadata: ObjectMeta {
            name: Some(args.name.clone()),
            labels: Some(labels),
            annotations: Some(annotations).filter(|map| !map.is_empty()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            node_name: args.node.clone(),
            restart_policy: Some(args.restart.clone()),
            dns_policy: Some("ClusterFirst".to_owned()),
            containers: vec![container(args)?],
            ..PodSpec::default()
        }),
        ..Pod::default()
    })
}

fn container(args: &Args) -> anyhow::Result<Container> {
    let words = (!args.arguments.is_empty()).then(|| args.arguments.clone());
    let (command, arguments) = match args.command {
        true => (words, None),
        false => (None, words),
    };
    let stdin = args.wanted.stdin.then_some(true);
    let privileged = args.privileged.then(|| SecurityContext {
        privileged: Some(true),
        ..SecurityContext::default()
    });
    let port = args.port.map(|port| ContainerPort {
        container_port: port.into(),
        ..ContainerPort::default()
    });
    Ok(Container {
        ports: port.map(|port| vec![port]),
        name: args.name.clone(),
        image: Some(args.image.clone()),
        image_pull_policy: args.image_pull_policy.clone(),
        command,
        args: arguments,
        env: environment(args)?,
        stdin,
        stdin_once: stdin.filter(|_| !args.leave_stdin_open),
        tty: args.wanted.tty.then_some(true),
        security_context: privileged,
        ..Container::default()
    })
}

fn environment(args: &Args) -> anyhow::Result<Option<Vec<EnvVar>>> {
    let variable = |text: &String| {
        let (name, value) = pair("--env", text)?;
        Ok(EnvVar {
            name,
            value: Some(value),
            value_from: None,
        })
    };
    let env: anyhow::Result<Vec<EnvVar>> = args.env.iter().map(variable).collect();
    Ok(Some(env?).filter(|env| !env.is_empty()))
}

fn pairs(what: &str, texts: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    texts.iter().map(|text| pair(what, text)).collect()
}

fn pair(what: &str, text: &str) -> anyhow::Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => bail!("{what} {text:?} is not KEY=VALUE"),
    }
}
