//! `podnet scale`.

use std::process::ExitCode;

use anyhow::bail;
use kube::Client;
use serde_json::{Value, json};

use super::failure::Failures;
use super::print::SayArg;
use super::resource::{Catalog, Object};
use super::select::ChoiceArg;
use super::{ClusterArg, DryRunArg, http};

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
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    say: SayArg,
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::discover(client).await?;
    let choice = args.choice.of(&args.words, args.all);
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
    if let Some(wanted) = args.current_replicas {
        let scale = http::get(client, &url).await?;
        let now = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        if now != wanted {
            bail!("Expected replicas to be {wanted}, was {now}");
        }
        // It is this one that is changed, or none.
        patch["metadata"] = json!({"resourceVersion": scale["metadata"]["resourceVersion"]});
    }
    if args.dry_run.is_client() {
        return Ok(());
    }
    let url = format!(
        "{url}?fieldManager=kubectl-scale{}",
        args.dry_run.parameter()
    );
    let _: Value = http::patch(client, &url, http::MERGE_PATCH, &patch).await?;
    Ok(())
}
