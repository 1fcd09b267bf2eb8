//! `podnet exec` and `podnet attach`.

use std::process::ExitCode;

use anyhow::{Context, bail};
use kube::Client;
use serde_json::Value;

use super::containers;
use super::duration::{Patience, parse_positive};
use super::manifest::FileArg;
use super::print::name_of;
use super::resource::{Catalog, escape};
use super::session::{self, Wanted};
use super::{ClusterArg, NamespaceArg, target};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// The pod, or what keeps it, such as deployment/web
    #[arg(value_name = "POD", required_unless_present = "filename")]
    pod: Option<String>,
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    place: ContainerArg,
    #[command(flatten)]
    wanted: Wanted,
    /// What to run, after --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct AttachArgs {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// The pod, or what keeps it, such as deployment/web
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    place: ContainerArg,
    #[command(flatten)]
    wanted: Wanted,
}

/// Which container a verb is about.
#[derive(Debug, clap::Args)]
struct ContainerArg {
    #[command(flatten)]
    namespace: NamespaceArg,
    /// The container [default: what the pod's annotation names, or the first]
    #[arg(short, long)]
    container: Option<String>,
    /// Only what the program says
    #[arg(short, long)]
    quiet: bool,
    /// How long to wait until there is a pod: 30s, 5m
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_positive)]
    pod_running_timeout: Patience,
}

impl ContainerArg {
    /// A pod that has not ended; `doing` is what is to be done with it.
    async fn pod(&self, client: &Client, word: &str, doing: &str) -> anyhow::Result<Value> {
        let namespace = &self.namespace.namespace;
        let target = target::find(client, namespace, word, self.pod_running_timeout).await?;
        let pod = target.pod().clone();
        match pod["status"]["phase"].as_str() {
            Some(phase @ ("Succeeded" | "Failed")) => {
                bail!("cannot {doing} a container in a completed pod; current phase is {phase}")
            }
            _ => Ok(pod),
        }
    }
}

/// The URL of a pod.
pub(super) fn pod_path(pod: &Value) -> String {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    format!(
        "/api/v1/namespaces/{}/pods/{}",
        escape(namespace),
        escape(name_of(pod))
    )
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let place = &args.place;
    let word = args.word(client).await?;
    let pod = place.pod(client, &word, "exec into").await?;
    let container = match &place.container {
        Some(name) => name,
        None => name_in(containers::choose(&pod, None, place.quiet)?),
    };
    let wanted = args.wanted.settled(place.quiet);
    let mut url = format!(
        "{}/exec?container={}&{}",
        pod_path(&pod),
        escape(container),
        wanted.query(wanted.tty)
    );
    for word in &args.command {
        url += &format!("&command={}", escape(word));
    }
    let status = session::run(client, &url, wanted).await?;
    Ok(session::exit_code(&status)?.into())
}

impl Args {
    /// What names the pod, KIND/NAME if a file does.
    async fn word(&self, client: &Client) -> anyhow::Result<String> {
        if let (Some(pod), false) = (&self.pod, self.file.is_given()) {
            return Ok(pod.clone());
        }
        if self.pod.is_some() {
            bail!("resource/name arguments cannot be provided when a path is specified");
        }
        let mut manifests = self.file.read()?.into_iter();
        let manifest = match (manifests.next(), manifests.next()) {
            (Some(only), None) => only,
            (Some(_), Some(_)) => bail!("cannot exec into multiple objects at a time"),
            (None, _) => bail!("pod, type/name or --filename must be specified"),
        };
        let catalog = Catalog::discover(client).await?;
        let namespace = &self.place.namespace.namespace;
        let manifest = manifest.resolve(&catalog, Some(namespace))?;
        Ok(manifest.resource.slashed(manifest.name()))
    }
}

fn name_in(container: &Value) -> &str {
    container["name"].as_str().unwrap_or_default()
}

pub async fn attach(client: &Client, args: &AttachArgs) -> anyhow::Result<ExitCode> {
    let place = &args.place;
    let pod = place.pod(client, &args.pod, "attach").await?;
    join(
        client,
        &pod,
        place.container.as_deref(),
        args.wanted,
        place.quiet,
    )
    .await?;
    Ok(ExitCode::SUCCESS)
}

/// This terminal or pipe with a container, until that ends. How it ended is not told.
///
/// # Errors
/// The two could not be joined, or parted too early.
pub(super) async fn join(
    client: &Client,
    pod: &Value,
    container: Option<&str>,
    wanted: Wanted,
    is_quiet: bool,
) -> anyhow::Result<()> {
    let container =
        containers::choose(pod, container, is_quiet).context("cannot attach to the container")?;
    let name = name_in(container);
    let has_terminal = container["tty"] == true;
    if wanted.tty && !has_terminal && !is_quiet {
        eprintln!("error: Unable to use a TTY - container {name} did not allocate one");
    }
    let wanted = Wanted {
        tty: has_terminal,
        ..wanted
    };
    let wanted = wanted.settled(is_quiet);
    if !is_quiet {
        eprintln!("If you don't see a command prompt, try pressing enter.");
    }
    let url = format!(
        "{}/attach?container={}&{}",
        pod_path(pod),
        escape(name),
        wanted.query(has_terminal)
    );
    let status = session::run(client, &url, wanted).await?;
    session::exit_code(&status)?;
    if wanted.tty && !is_quiet && pod["spec"]["restartPolicy"] == "Always" {
        println!(
            "Session ended, resume using 'podnet attach {} -c {name} -i -t' command when the pod is running",
            name_of(pod)
        );
    }
    Ok(())
}
