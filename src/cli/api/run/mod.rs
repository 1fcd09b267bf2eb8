//! `podnet run`: a pod, and a service in front of it if asked; then what it says, if somebody listens.

mod attached;
mod overrides;
mod pod;

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::bail;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::Api;
use serde_json::{Value, json};

use super::duration::{Patience, parse_positive};
use super::failure::Failures;
use super::print::SayArg;
use super::resource::{Catalog, Object, Resource, escape};
use super::session::Wanted;
use super::{ClusterArg, DryRunArg, NamespaceArg, explain, http};
use overrides::OverrideArg;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// The pod's name
    name: String,
    /// What to run in it
    #[arg(long)]
    image: String,
    /// When to pull the image: Always, IfNotPresent or Never
    #[arg(long, value_name = "WHEN")]
    image_pull_policy: Option<String>,
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
    /// Annotation to put on it
    #[arg(long, value_name = "KEY=VALUE")]
    annotations: Vec<String>,
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
    /// Make a service of the same name for that port
    #[arg(long)]
    expose: bool,
    /// With every privilege of its node
    #[arg(long)]
    privileged: bool,
    #[command(flatten)]
    wanted: Wanted,
    /// Wait until it runs, and join it; -i does so too. With --restart=Never its exit code is passed on
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    attach: Option<bool>,
    /// Its standard input stays open when whoever is attached first has left
    #[arg(long)]
    leave_stdin_open: bool,
    /// Delete it when it has ended, or is interrupted; with --attach or -i
    #[arg(long = "rm")]
    remove: bool,
    /// Seconds that it then gets to end by itself
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    grace_period: Option<i64>,
    /// Delete it without waiting for its node
    #[arg(long)]
    force: bool,
    /// Only what it says
    #[arg(short, long)]
    quiet: bool,
    /// How long to wait until it runs: 30s, 5m
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_positive)]
    pod_running_timeout: Patience,
    #[command(flatten)]
    overrides: OverrideArg,
    /// Whom the server remembers as having set its fields
    #[arg(long, value_name = "NAME", default_value = "kubectl-run")]
    field_manager: String,
    #[command(flatten)]
    namespace: NamespaceArg,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    say: SayArg,
    /// What the image's program is told; after -- if it begins with a dash
    #[arg(value_name = "ARGS")]
    arguments: Vec<String>,
}

impl Args {
    fn is_attached(&self) -> bool {
        self.attach.unwrap_or(self.wanted.stdin)
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.wanted.tty && !self.wanted.stdin {
            bail!("-i/--stdin is required for containers with -t/--tty=true");
        }
        if self.expose && self.port.is_none() {
            bail!("--port must be set when exposing a service");
        }
        if !matches!(&*self.restart, "Always" | "OnFailure" | "Never") {
            bail!("invalid restart policy: {}", self.restart);
        }
        if self.remove && !self.is_attached() {
            bail!("--rm should only be used for attached containers");
        }
        if self.is_attached() && self.dry_run.is_any() {
            bail!(
                "--dry-run=[server|client] can't be used with attached containers options \
                 (--attach, --stdin, or --tty)"
            );
        }
        match self.image_pull_policy.as_deref() {
            None | Some("" | "Always" | "IfNotPresent" | "Never") => Ok(()),
            Some(other) => bail!("invalid image pull policy: {other}"),
        }
    }
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    args.check()?;
    let catalog = Catalog::discover(client).await?;
    if let Some(node) = &args.node {
        let nodes: Api<Node> = Api::all(client.clone());
        if nodes.get_opt(node).await.map_err(explain)?.is_none() {
            bail!("there is no node {node}; `podnet get nodes` lists them");
        }
    }
    let pod = pod::built(args)?;
    let labels = pod["metadata"]["labels"].clone();
    let mut made = vec![create(client, args, catalog.named("pods")?, pod).await?];
    let mut voice = args.say.voice();
    let mut say = |object: &Object| {
        let done = format!("created{}", args.dry_run.suffix());
        voice.say(&object.resource, &object.value, &done)
    };
    let mut failures = Failures::default();
    if args.expose {
        let service = service(args, labels);
        let service = create(client, args, catalog.named("services")?, service).await;
        if let Some(service) = failures.keep(service) {
            say(&service)?;
            made.push(service);
        }
    }
    let mut ended = ExitCode::SUCCESS;
    if args.is_attached() {
        let followed = attached::run(client, args, &made).await;
        ended = failures.keep(followed).unwrap_or(ExitCode::FAILURE);
    } else {
        say(&made[0])?;
    }
    failures.into_result()?;
    Ok(ended)
}

async fn create(
    client: &Client,
    args: &Args,
    resource: Rc<Resource>,
    mut value: Value,
) -> anyhow::Result<Object> {
    if !args.dry_run.is_client() {
        let url = format!(
            "{}?fieldManager={}{}",
            resource.collection(Some(&args.namespace.namespace)),
            escape(&args.field_manager),
            args.dry_run.parameter()
        );
        value = http::post(client, &url, &value).await?;
    }
    Ok(Object { resource, value })
}

/// What leads to the pods that have these labels.
fn service(args: &Args, labels: Value) -> Value {
    let port = args.port;
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": args.name, "creationTimestamp": null},
        "spec": {
            "ports": [{"port": port, "protocol": "TCP", "targetPort": port}], "selector": labels,
        },
        "status": {"loadBalancer": {}},
    })
}
