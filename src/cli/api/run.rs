//! `podnet run`.

use std::process::ExitCode;

use anyhow::bail;
use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};

use crate::cluster::{PAUSE_IMAGES, is_pause_image};

use super::{LabArg, NamespaceArg, explain};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) lab: LabArg,
    /// The pod's name
    name: String,
    /// What to run in it
    #[arg(long)]
    image: String,
    /// The node to run it on, past the scheduler
    #[arg(long)]
    node: Option<String>,
    /// Label to put on it [default: run=NAME]
    #[arg(
        short = 'l',
        long = "labels",
        value_name = "KEY=VALUE",
        value_delimiter = ','
    )]
    labels: Vec<String>,
    #[command(flatten)]
    namespace: NamespaceArg,
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &args.namespace.namespace);
    let pod = pod(args)?;
    if let Some(node) = &args.node {
        let nodes: Api<Node> = Api::all(client.clone());
        if nodes.get_opt(node).await.map_err(explain)?.is_none() {
            bail!("there is no node {node}; `podnet get nodes` lists them");
        }
    }
    if !is_pause_image(&args.image) {
        let known = PAUSE_IMAGES.join(" and ");
        eprintln!(
            "warning: no node knows image {:?}, the pod will wait for it; they know {known}",
            args.image
        );
    }
    pods.create(&PostParams::default(), &pod)
        .await
        .map_err(explain)?;
    println!("pod/{} created", args.name);
    Ok(ExitCode::SUCCESS)
}

fn pod(args: &Args) -> anyhow::Result<Pod> {
    let mut labels = std::collections::BTreeMap::new();
    for label in &args.labels {
        let Some((key, value)) = label.split_once('=') else {
            bail!("label {label:?} is not KEY=VALUE");
        };
        labels.insert(key.to_owned(), value.to_owned());
    }
    if labels.is_empty() {
        labels.insert("run".to_owned(), args.name.clone());
    }
    Ok(Pod {
        metadata: ObjectMeta {
            name: Some(args.name.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            node_name: args.node.clone(),
            containers: vec![Container {
                name: args.name.clone(),
                image: Some(args.image.clone()),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
        ..Pod::default()
    })
}
