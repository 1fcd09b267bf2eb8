//! `podnet logs`.

use std::io;
use std::process::ExitCode;

use bytes::Bytes;
use futures::AsyncBufReadExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams, LogParams};

use super::session::print as print_block;
use super::{ClusterArg, NamespaceArg, explain, target};

/// Of each pod that is chosen by its labels, if nobody asks for more.
const TAIL_OF_EACH: u32 = 10;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// The pod, or what keeps it, such as deployment/web
    #[arg(value_name = "POD", required_unless_present = "selector")]
    pod: Option<String>,
    /// Those of all pods with these labels
    #[arg(short = 'l', long, conflicts_with_all = ["pod", "follow"])]
    selector: Option<String>,
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
    /// Only so many lines from the end; -1 is all
    #[arg(long, value_name = "LINES", allow_negative_numbers = true)]
    tail: Option<i64>,
    /// Only what is not older: 5m, 1h30m
    #[arg(long, value_name = "DURATION")]
    since: Option<SignedDuration>,
    /// Only what is not older: 2026-11-24T12:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "since")]
    since_time: Option<Timestamp>,
    /// Only so many bytes
    #[arg(long, value_name = "BYTES")]
    limit_bytes: Option<i64>,
    /// With the time of each line
    #[arg(long)]
    timestamps: bool,
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let namespace = &args.namespace.namespace;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut names = Vec::new();
    if let Some(selector) = &args.selector {
        let chosen = ListParams::default().labels(selector);
        let list = pods.list(&chosen).await.map_err(explain)?;
        names.extend(list.items.into_iter().filter_map(|pod| pod.metadata.name));
        if names.is_empty() {
            eprintln!("No resources found in {namespace} namespace.");
        }
    } else if let Some(word) = &args.pod {
        let target = target::find(client, namespace, word).await?;
        if target.of > 1 {
            eprintln!("Found {} pods, using pod/{}", target.of, target.pod);
        }
        names.push(target.pod);
    }
    for name in names {
        for container in containers(&pods, &name, args).await? {
            print(&pods, &name, &params(args, container)).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Which of a pod's; `None` leaves it to the server.
async fn containers(
    pods: &Api<Pod>,
    pod: &str,
    args: &Args,
) -> anyhow::Result<Vec<Option<String>>> {
    if !args.all_containers {
        return Ok(vec![args.container.clone()]);
    }
    let spec = pods
        .get(pod)
        .await
        .map_err(explain)?
        .spec
        .unwrap_or_default();
    let first = spec.init_containers.unwrap_or_default();
    let all = first.into_iter().chain(spec.containers);
    Ok(all.map(|container| Some(container.name)).collect())
}

fn params(args: &Args, container: Option<String>) -> LogParams {
    let of_each = args.selector.as_ref().map(|_| i64::from(TAIL_OF_EACH));
    LogParams {
        container,
        follow: args.follow,
        limit_bytes: args.limit_bytes,
        previous: args.previous,
        tail_lines: args.tail.or(of_each).filter(|lines| *lines >= 0),
        since_seconds: args.since.map(|since| since.as_secs()),
        since_time: args.since_time,
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
