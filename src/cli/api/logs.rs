//! `podnet logs`.

use std::io;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use futures::AsyncBufReadExt;
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, LogParams};
use serde_json::Value;

use super::duration::{Patience, parse_positive};
use super::print::name_of;
use super::resource::escape;
use super::session::print as print_block;
use super::{ClusterArg, NamespaceArg, containers, explain, http, target};

/// Of each pod that is chosen by its labels, if nobody asks for more.
const TAIL_OF_EACH: i64 = 10;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// The pod, or what keeps it, such as deployment/web
    #[arg(value_name = "POD", required_unless_present = "selector")]
    pod: Option<String>,
    /// As --container
    #[arg(value_name = "CONTAINER")]
    inline: Option<String>,
    /// Those of all pods with these labels
    #[arg(short = 'l', long, conflicts_with = "pod")]
    selector: Option<String>,
    #[command(flatten)]
    namespace: NamespaceArg,
    /// The container [default: what the pod's annotation names, or the first]
    #[arg(short, long)]
    container: Option<String>,
    /// Those of each container, one after the other unless they are followed
    #[arg(long)]
    all_containers: bool,
    /// Those of each pod that POD keeps; each line with its source
    #[arg(long)]
    all_pods: bool,
    /// Begin each line with its source: [pod/POD/CONTAINER]
    #[arg(long)]
    prefix: bool,
    /// Go on as the container does
    #[arg(short, long)]
    follow: bool,
    /// Follow the others if one fails
    #[arg(long)]
    ignore_errors: bool,
    /// Follow at most so many containers
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    max_log_requests: usize,
    /// How long to wait until there is a pod: 30s, 5m
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = parse_positive)]
    pod_running_timeout: Patience,
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
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    limit_bytes: Option<i64>,
    /// With the time of each line
    #[arg(long)]
    timestamps: bool,
}

/// What a log is of.
struct Source {
    pod: String,
    container: String,
}

impl Args {
    fn container(&self) -> Option<&str> {
        self.container.as_deref().or(self.inline.as_deref())
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.container.is_some() && self.inline.is_some() {
            bail!("only one of -c or an inline [CONTAINER] arg is allowed");
        }
        if let (true, Some(name)) = (self.all_containers, self.container()) {
            bail!("--all-containers=true should not be specified with container name {name}");
        }
        if self.limit_bytes.is_some_and(i64::is_negative) {
            bail!("--limit-bytes must be greater than 0");
        }
        if self.since.is_some_and(|since| since.is_negative()) {
            bail!("--since must be greater than 0");
        }
        if self.tail.is_some_and(|lines| lines < -1) {
            bail!("--tail must be greater than or equal to -1");
        }
        Ok(())
    }

    /// Which of a pod's.
    fn sources(&self, pod: &Value) -> anyhow::Result<Vec<Source>> {
        let name = name_of(pod);
        let source = |container: &Value| Source {
            pod: name.to_owned(),
            container: container["name"].as_str().unwrap_or_default().to_owned(),
        };
        if self.all_containers {
            return Ok(containers::all(pod).map(|(_, one)| source(one)).collect());
        }
        let container = match self.container() {
            Some(asked) => containers::find(pod, asked)
                .with_context(|| format!("container {asked} is not valid for pod {name}"))?,
            None => containers::choose(pod, None, self.all_pods)?,
        };
        Ok(vec![source(container)])
    }

    fn params(&self, source: &Source) -> LogParams {
        let of_each = self.selector.as_ref().map(|_| TAIL_OF_EACH);
        LogParams {
            container: Some(source.container.clone()),
            follow: self.follow,
            limit_bytes: self.limit_bytes.filter(|bytes| *bytes > 0),
            previous: self.previous,
            tail_lines: self.tail.or(of_each).filter(|lines| *lines >= 0),
            since_seconds: self.since.map(|since| since.as_secs()),
            since_time: self.since_time,
            timestamps: self.timestamps,
            ..LogParams::default()
        }
    }

    /// How its lines begin.
    fn prefix(&self, source: &Source) -> String {
        match self.prefix || self.all_pods {
            true => format!("[pod/{}/{}] ", source.pod, source.container),
            false => String::new(),
        }
    }
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    args.check()?;
    let mut sources = Vec::new();
    for pod in pods(client, args).await? {
        sources.extend(args.sources(&pod)?);
    }
    let pods = Api::namespaced(client.clone(), &args.namespace.namespace);
    if !args.follow || sources.len() < 2 {
        for source in &sources {
            let mut lines = Lines::new(args.prefix(source), false);
            print(&pods, &source.pod, &args.params(source), &mut lines).await?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if sources.len() > args.max_log_requests {
        bail!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use \
             --max-log-requests to increase the limit",
            sources.len(),
            args.max_log_requests
        );
    }
    let one = async |source: &Source| {
        let mut lines = Lines::new(args.prefix(source), true);
        let printed = print(&pods, &source.pod, &args.params(source), &mut lines).await;
        match printed {
            Err(error) if args.ignore_errors => println!("error: {error:#}"),
            printed => printed?,
        }
        anyhow::Ok(())
    };
    try_join_all(sources.iter().map(one)).await?;
    Ok(ExitCode::SUCCESS)
}

async fn pods(client: &Client, args: &Args) -> anyhow::Result<Vec<Value>> {
    let namespace = &args.namespace.namespace;
    if let Some(selector) = &args.selector {
        let path = format!(
            "/api/v1/namespaces/{}/pods?labelSelector={}",
            escape(namespace),
            escape(selector)
        );
        let found = http::get(client, &path).await?["items"].take();
        let Value::Array(found) = found else {
            bail!("the server answers with no list of pods");
        };
        if found.is_empty() {
            eprintln!("No resources found in {namespace} namespace.");
        }
        return Ok(found);
    }
    let Some(word) = &args.pod else {
        bail!("POD or TYPE/NAME is a required argument for the logs command");
    };
    let target = target::find(client, namespace, word, args.pod_running_timeout).await;
    let mut found = target.map_err(|error| missing(error, namespace))?.pods;
    if !args.all_pods && found.len() > 1 {
        eprintln!(
            "Found {} pods, using pod/{}",
            found.len(),
            name_of(&found[0])
        );
        found.truncate(1);
    }
    Ok(found)
}

/// As kubectl has it of what `logs` does not find, and of nothing else.
fn missing(error: anyhow::Error, namespace: &str) -> anyhow::Error {
    match http::is_not_found(&error) {
        true => anyhow!("error from server (NotFound): {error} in namespace {namespace:?}"),
        false => error,
    }
}

/// All that the pod's first container has written so far.
pub(super) async fn print_all(client: &Client, pod: &Value) -> anyhow::Result<()> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let pods = Api::namespaced(client.clone(), namespace);
    let container = containers::choose(pod, None, true)?["name"].as_str();
    let params = LogParams {
        container: container.map(str::to_owned),
        ..LogParams::default()
    };
    let mut lines = Lines::new(String::new(), false);
    print(&pods, name_of(pod), &params, &mut lines).await
}

async fn print(
    pods: &Api<Pod>,
    pod: &str,
    params: &LogParams,
    lines: &mut Lines,
) -> anyhow::Result<()> {
    let log = pods.log_stream(pod, params).await.map_err(explain)?;
    let mut log = std::pin::pin!(log);
    loop {
        let block = log.fill_buf().await?;
        let read = block.len();
        let text = match read {
            0 => lines.rest(),
            _ => lines.of(block),
        };
        match print_block(io::stdout(), text).await {
            // Whoever reads it has seen enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        if read == 0 {
            return Ok(());
        }
        log.consume_unpin(read);
    }
}

/// A log's lines, each with where it is from.
struct Lines {
    prefix: String,
    /// No line in pieces: those of others may come in between.
    are_whole: bool,
    begun: Vec<u8>,
}

impl Lines {
    fn new(prefix: String, are_whole: bool) -> Lines {
        Lines {
            are_whole: are_whole || !prefix.is_empty(),
            prefix,
            begun: Vec::new(),
        }
    }

    /// What of a block, and of those before it, can be printed.
    fn of(&mut self, block: &[u8]) -> Bytes {
        if !self.are_whole {
            return Bytes::copy_from_slice(block);
        }
        let mut text = Vec::with_capacity(block.len());
        for piece in block.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                text.extend_from_slice(self.prefix.as_bytes());
                text.append(&mut self.begun);
            }
        }
        text.into()
    }

    /// The last line, if nothing ended it.
    fn rest(&mut self) -> Bytes {
        let rest = std::mem::take(&mut self.begun);
        match rest.is_empty() {
            true => Bytes::new(),
            false => [self.prefix.as_bytes(), &rest].concat().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_their_source_and_stay_whole() {
        let mut lines = Lines::new("[a] ".to_owned(), false);
        assert_eq!(lines.of(b"one\ntw"), "[a] one\n");
        assert_eq!(lines.of(b"o"), "");
        assert_eq!(lines.of(b"\n\nth"), "[a] two\n[a] \n");
        assert_eq!(lines.rest(), "[a] th");
        assert_eq!(lines.rest(), "");

        let mut whole = Lines::new(String::new(), true);
        assert_eq!(whole.of(b"on"), "");
        assert_eq!(whole.of(b"e\n"), "one\n");
        let mut pieces = Lines::new(String::new(), false);
        assert_eq!(pieces.of(b"on"), "on");
        assert_eq!(pieces.rest(), "");
    }
}
