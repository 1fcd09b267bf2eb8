//! `podnet scale`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::duration::{Patience, parse_patience};
use super::failure::Failures;
use super::print::SayArg;
use super::resource::{Catalog, Object};
use super::select::{All, ChoiceArg};
use super::{ClusterArg, DryRunArg, http};

/// Between two looks at how many there are.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// What to scale: a resource and names, or RESOURCE/NAME
    #[arg(required_unless_present = "filename", value_name = "RESOURCE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    choice: ChoiceArg,
    /// All of them in the namespace
    #[arg(long)]
    all: bool,
    /// How many pods it shall have
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(0..))]
    replicas: i32,
    /// Only if it has so many now
    #[arg(long, value_name = "COUNT")]
    current_replicas: Option<i64>,
    /// Only if it has this version now
    #[arg(long, value_name = "VERSION")]
    resource_version: Option<String>,
    /// How long to wait until it has so many pods: 30s, 5m; 0 is not to wait
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_patience)]
    timeout: Patience,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    say: SayArg,
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::discover(client).await?;
    let choice = args
        .choice
        .of(&args.words, if args.all { All::Yes } else { All::No });
    let mut failures = Failures::default();
    let objects = choice.objects(client, &catalog, &mut failures).await?;
    if objects.is_empty() {
        bail!("no objects passed to scale {}", failures.texts().join(", "));
    }
    let mut voice = args.say.voice();
    for object in &objects {
        let scaled = scale(client, args, object).await;
        if failures.keep(scaled).is_some() {
            let done = format!("scaled{}", args.dry_run.suffix());
            voice.say(&object.resource, &object.value, &done)?;
        }
    }
    failures.into_result()?;
    Ok(ExitCode::SUCCESS)
}

async fn scale(client: &Client, args: &Args, object: &Object) -> anyhow::Result<()> {
    let url = format!("{}/scale", object.path());
    let mut patch = json!({"spec": {"replicas": args.replicas}});
    if args.current_replicas.is_some() || args.resource_version.is_some() {
        let scale = http::get(client, &url).await?;
        check(args, &scale)?;
        // It is this one that is changed, or none.
        patch["metadata"] = json!({"resourceVersion": scale["metadata"]["resourceVersion"]});
    }
    if args.dry_run.is_client() {
        return Ok(());
    }
    let changing = format!(
        "{url}?fieldManager=kubectl-scale{}",
        args.dry_run.parameter()
    );
    let _: Value = http::patch(client, &changing, http::MERGE_PATCH, &patch).await?;
    if !args.timeout.is_none() && !args.dry_run.is_any() {
        until_scaled(client, args, &url).await?;
    }
    Ok(())
}

fn check(args: &Args, scale: &Value) -> anyhow::Result<()> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    let version = scale["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default();
    match (args.current_replicas, args.resource_version.as_deref()) {
        (Some(wanted), _) if wanted != replicas => {
            bail!("Expected replicas to be {wanted}, was {replicas}")
        }
        (_, Some(wanted)) if wanted != version => {
            bail!("Expected resource version to be {wanted}, was {version}")
        }
        _ => Ok(()),
    }
}

async fn until_scaled(client: &Client, args: &Args, url: &str) -> anyhow::Result<()> {
    let deadline = args.timeout.deadline();
    loop {
        let scale = http::get(client, url).await?;
        if scale["status"]["replicas"].as_i64().unwrap_or(0) == i64::from(args.replicas) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("timed out waiting for the condition");
        }
        sleep(PAUSE).await;
    }
}
