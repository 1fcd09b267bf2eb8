//! `podnet drain`: a node without pods, for as long as it is closed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::delete::until_gone;
use super::duration::{Patience, parse_patience};
use super::failure::Failures;
use super::http::{self, Refusal};
use super::nodes::{chosen, cordon};
use super::resource::{Catalog, Object, escape};
use super::select::{ChunkArg, taken_apart};
use super::{ClusterArg, DryRunArg};

/// Between two tries where a disruption budget allows none.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// The nodes
    #[arg(required_unless_present = "selector", value_name = "NODE")]
    nodes: Vec<String>,
    /// Nodes with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Only pods with these labels
    #[arg(long, value_name = "SELECTOR")]
    pod_selector: Option<String>,
    /// Leave pods of daemon sets where they are
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Drain pods whose emptyDir is lost with them, too
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Drain pods that nobody makes again, too
    #[arg(long)]
    force: bool,
    /// Seconds that each pod gets to end by itself; -1 is what it asks for
    #[arg(long, value_name = "SECONDS", default_value_t = -1)]
    grace_period: i64,
    /// Delete pods, past their disruption budgets
    #[arg(long)]
    disable_eviction: bool,
    /// How long to wait: 30s, 5m; 0 is for ever
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_patience)]
    timeout: Patience,
    /// Do not wait for pods that were deleted so many seconds ago; 0 waits for all
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    skip_wait_for_delete_timeout: i64,
    #[command(flatten)]
    chunks: ChunkArg,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// What becomes of a pod.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Goes,
    GoesWithWarning(&'static str),
    Stays,
    StaysWithWarning(&'static str),
    Forbids(&'static str),
}

/// The nodes are closed first. One that cannot be drained does not stop the others.
pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let mut failures = Failures::default();
    let nodes = chosen(client, &args.nodes, args.selector.clone(), &mut failures).await?;
    failures.into_result()?;
    for node in &nodes {
        cordon(client, node, true, &args.dry_run).await?;
    }
    let mut pending = Vec::new();
    let mut reasons = Vec::new();
    for node in &nodes {
        let mut failures = Failures::default();
        let drained = drain(client, args, node, &mut failures).await;
        failures.keep(drained);
        let texts = failures.texts();
        let why = match &texts[..] {
            [] => {
                println!("{} drained{}", node.slashed(), args.dry_run.suffix());
                continue;
            }
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let name = node.name();
        eprintln!(
            "error: unable to drain node {name:?} due to error: {why}, continuing command..."
        );
        pending.push(name);
        reasons.extend(texts);
    }
    if pending.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("There are pending nodes to be drained:");
    for name in pending {
        eprintln!(" {name}");
    }
    eprintln!("{}", reasons.join("\n"));
    Ok(ExitCode::FAILURE)
}

async fn drain(
    client: &Client,
    args: &Args,
    node: &Object,
    failures: &mut Failures,
) -> anyhow::Result<()> {
    let pods = Catalog::discover(client).await?.named("pods")?;
    let mut url = format!(
        "{}?fieldSelector=spec.nodeName%3D{}",
        pods.collection(None),
        escape(node.name())
    );
    if let Some(selector) = &args.pod_selector {
        url += &format!("&labelSelector={}", escape(selector));
    }
    let list = http::list(client, &url, http::JSON, args.chunks.chunk_size).await?;
    let found = taken_apart(&pods, list);
    let going = sorted_out(args, found, failures)?;
    let deadline = args.timeout.deadline_or_never();
    let leaving = going
        .iter()
        .map(|pod| send_away(client, args, pod, deadline));
    for gone in join_all(leaving).await {
        failures.keep(gone);
    }
    Ok(())
}

/// The pods that go; none if some may not.
fn sorted_out(
    args: &Args,
    pods: Vec<Object>,
    failures: &mut Failures,
) -> anyhow::Result<Vec<Object>> {
    let mut going = Vec::new();
    let mut warnings: Vec<(&str, Vec<String>)> = Vec::new();
    let mut errors: Vec<(&str, Vec<String>)> = Vec::new();
    for object in pods {
        let pod: Pod = serde_json::from_value(object.value.clone())?;
        let name = full_name(&object);
        match fate(args, &pod) {
            Fate::Goes | Fate::GoesWithWarning(_) if is_long_deleted(args, &pod) => {}
            Fate::Goes => going.push(object),
            Fate::Stays => {}
            Fate::GoesWithWarning(why) => {
                note(&mut warnings, why, name);
                going.push(object);
            }
            Fate::StaysWithWarning(why) => note(&mut warnings, why, name),
            Fate::Forbids(why) => note(&mut errors, why, name),
        }
    }
    let lines = |notes: Vec<(&str, Vec<String>)>| -> Vec<String> {
        let line = |(why, pods): (&str, Vec<String>)| format!("{why}: {}", pods.join(", "));
        notes.into_iter().map(line).collect()
    };
    if !errors.is_empty() {
        for line in lines(errors) {
            failures.add(anyhow!("cannot delete {line}"));
        }
        return Ok(Vec::new());
    }
    if !warnings.is_empty() {
        eprintln!("Warning: {}", lines(warnings).join("; "));
    }
    Ok(going)
}

fn note<'a>(notes: &mut Vec<(&'a str, Vec<String>)>, why: &'a str, pod: String) {
    match notes.iter_mut().find(|(known, _)| *known == why) {
        Some((_, pods)) => pods.push(pod),
        None => notes.push((why, vec![pod])),
    }
}

fn full_name(pod: &Object) -> String {
    let namespace = pod.value["metadata"]["namespace"]
        .as_str()
        .unwrap_or_default();
    format!("{namespace}/{}", pod.name())
}

fn fate(args: &Args, pod: &Pod) -> Fate {
    let owners = pod.metadata.owner_references.iter().flatten();
    let mut controllers = owners.filter(|owner: &&OwnerReference| owner.controller == Some(true));
    let controller = controllers.next();
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let finished = matches!(phase, Some("Succeeded" | "Failed"));
    if controller.is_some_and(|owner| owner.kind == "DaemonSet") && !finished {
        return match args.ignore_daemonsets {
            true => Fate::StaysWithWarning("ignoring DaemonSet-managed Pods"),
            false => Fate::Forbids("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"),
        };
    }
    let annotations = pod.metadata.annotations.iter().flatten();
    if annotations
        .map(|(key, _)| key)
        .any(|key| key == "kubernetes.io/config.mirror")
    {
        return Fate::Stays;
    }
    if finished {
        return Fate::Goes;
    }
    let mut volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let loses_data = volumes.any(|volume| volume.empty_dir.is_some());
    if loses_data && !args.delete_emptydir_data {
        return Fate::Forbids("Pods with local storage (use --delete-emptydir-data to override)");
    }
    match (controller, args.force) {
        (Some(_), _) if loses_data => Fate::GoesWithWarning("deleting Pods with local storage"),
        (Some(_), _) => Fate::Goes,
        (None, true) => Fate::GoesWithWarning("deleting Pods that declare no controller"),
        (None, false) => Fate::Forbids("Pods that declare no controller (use --force to override)"),
    }
}

fn is_long_deleted(args: &Args, pod: &Pod) -> bool {
    let deleted = pod.metadata.deletion_timestamp.as_ref();
    let seconds = deleted.map(|time| Timestamp::now().duration_since(time.0).as_secs());
    let bound = args.skip_wait_for_delete_timeout;
    bound > 0 && seconds.is_some_and(|seconds| seconds > bound)
}

/// Until it is gone.
async fn send_away(
    client: &Client,
    args: &Args,
    pod: &Object,
    deadline: Option<Instant>,
) -> anyhow::Result<()> {
    let evicts = !args.disable_eviction;
    let verb = if evicts { "evicting" } else { "deleting" };
    println!("{verb} pod {}{}", full_name(pod), args.dry_run.suffix());
    if args.dry_run.is_client() {
        return Ok(());
    }
    loop {
        let error = match ask_to_go(client, args, pod).await {
            Ok(()) => break,
            Err(error) if http::is_not_found(&error) => break,
            Err(error) => error,
        };
        let refusal = error.downcast_ref::<Refusal>();
        let is_held_back = refusal.is_some_and(|refusal| refusal.0.code == 429);
        if !is_held_back || deadline.is_some_and(|end| Instant::now() + PAUSE >= end) {
            let name = pod.name();
            return Err(error.context(format!("error when {verb} pods/{name:?}")));
        }
        eprintln!(
            "error when {verb} pods/{:?} -n {:?} (will retry after 5s): {error:#}",
            pod.name(),
            pod.value["metadata"]["namespace"]
                .as_str()
                .unwrap_or_default()
        );
        sleep(PAUSE).await;
    }
    if args.dry_run.is_any() {
        return Ok(());
    }
    let uid = pod.value["metadata"]["uid"].as_str();
    until_gone(client, pod, uid, deadline).await?;
    println!("{} {}", pod.slashed(), done(evicts));
    Ok(())
}

fn done(evicts: bool) -> &'static str {
    if evicts { "evicted" } else { "deleted" }
}

async fn ask_to_go(client: &Client, args: &Args, pod: &Object) -> anyhow::Result<()> {
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    if args.grace_period >= 0 {
        options["gracePeriodSeconds"] = args.grace_period.into();
    }
    if args.dry_run.is_server() {
        options["dryRun"] = json!(["All"]);
    }
    if args.disable_eviction {
        http::delete(client, &pod.path(), &options).await?;
        return Ok(());
    }
    let metadata = &pod.value["metadata"];
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": options,
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
    });
    http::post(client, &format!("{}/eviction", pod.path()), &eviction).await?;
    Ok(())
}
