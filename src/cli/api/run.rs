//! `podnet run`.

use std::process::ExitCode;

use anyhow::bail;
use k8s_openapi::api::core::v1::{Container, ContainerPort, EnvVar, Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::Api;

use super::print::SayArg;
use super::resource::Catalog;
use super::{ClusterArg, DryRunArg, NamespaceArg, explain, http};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
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
    /// What happens when it ends: Always, OnFailure or Never start it again
    #[arg(long, default_value = "Always")]
    restart: String,
    /// An environment variable
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// ARGS are the command, not arguments for the image's own
    #[arg(long)]
    command: bool,
    /// A port that it has
    #[arg(long)]
    port: Option<u16>,
    #[command(flatten)]
    namespace: NamespaceArg,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    say: SayArg,
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let pods = Catalog::discover(client).await?.named("pods")?;
    if let Some(node) = &args.node {
        let nodes: Api<Node> = Api::all(client.clone());
        if nodes.get_opt(node).await.map_err(explain)?.is_none() {
            bail!("there is no node {node}; `podnet get nodes` lists them");
        }
    }
    let mut pod = serde_json::to_value(pod(args)?)?;
    if !args.dry_run.is_client() {
        let url = format!(
            "{}?fieldManager=kubectl-run{}",
            pods.collection(Some(&args.namespace.namespace)),
            args.dry_run.parameter()
        );
        pod = http::post(client, &url, &pod).await?;
    }
    let done = format!("created{}", args.dry_run.suffix());
    args.say.voice().say(&pods, &pod, &done)?;
    Ok(ExitCode::SUCCESS)
}

fn pod(args: &Args) -> anyhow::Result<Pod> {
    let mut labels = std::collections::BTreeMap::new();
    for label in &args.labels {
        let (key, value) = pair("label", label)?;
        labels.insert(key, value);
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
            restart_policy: Some(args.restart.clone()),
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
    let variable = |text: &String| {
        let (name, value) = pair("--env", text)?;
        let value = Some(value);
        Ok(EnvVar {
            name,
            value,
            value_from: None,
        })
    };
    let env: Vec<EnvVar> = args
        .env
        .iter()
        .map(variable)
        .collect::<anyhow::Result<_>>()?;
    let port = args.port.map(|port| ContainerPort {
        container_port: port.into(),
        ..ContainerPort::default()
    });
    Ok(Container {
        ports: port.map(|port| vec![port]),
        name: args.name.clone(),
        image: Some(args.image.clone()),
        command,
        args: arguments,
        env: Some(env).filter(|env| !env.is_empty()),
        ..Container::default()
    })
}

fn pair(what: &str, text: &str) -> anyhow::Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => bail!("{what} {text:?} is not KEY=VALUE"),
    }
}
