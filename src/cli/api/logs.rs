//! `podnet logs`.

use std::io;
use std::process::ExitCode;

use bytes::Bytes;
use futures::AsyncBufReadExt;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, LogParams};

use super::exec::pod_name;
use super::session::print as print_block;
use super::{LabArg, NamespaceArg, explain};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) lab: LabArg,
    /// The pod's name, or pod/NAME
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    namespace: NamespaceArg,
    /// The container; needed where a pod has several
    #[arg(short, long)]
    container: Option<String>,
    /// Those of each container, one after the other
    #[arg(long, conflicts_with_all = ["container", "follow"])]
    all_containers: bool,
    /// Go on as the container does
    #[arg(short, long)]
    follow: bool,
    /// Of the run before
    #[arg(short, long)]
    previous: bool,
    /// Only so many lines from the end
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// Only what is not older: 5m, 1h30m
    #[arg(long, value_name = "DURATION")]
    since: Option<SignedDuration>,
    /// With the time of each line
    #[arg(long)]
    timestamps: bool,
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &args.namespace.namespace);
    let pod = pod_name(&args.pod);
    if !args.all_containers {
        print(&pods, pod, &params(args, args.container.clone())).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let spec = pods
        .get(pod)
        .await
        .map_err(explain)?
        .spec
        .unwrap_or_default();
    let first = spec.init_containers.unwrap_or_default();
    for container in first.into_iter().chain(spec.containers) {
        print(&pods, pod, &params(args, Some(container.name))).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn params(args: &Args, container: Option<String>) -> LogParams {
    LogParams {
        container,
        follow: args.follow,
        previous: args.previous,
        tail_lines: args.tail.map(i64::from),
        since_seconds: args.since.map(|since| since.as_secs()),
        timestamps: args.timestamps,
        ..LogParams::default()
    }
}

async fn print(pods: &Api<Pod>, pod: &str, params: &LogParams) -> anyhow::Result<()> {
    let log = pods.log_stream(pod, params).await.map_err(explain)?;
    let mut log = std::pin::pin!(log);
    loop {
        let block = log.fill_buf().await?;
        if block.is_empty() {
            return Ok(());
        }
        let read = block.len();
        match print_block(io::stdout(), Bytes::copy_from_slice(block)).await {
            // Whoever reads it has seen enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        log.consume_unpin(read);
    }
}
