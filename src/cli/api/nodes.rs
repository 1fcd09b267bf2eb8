//! `podnet cordon` and `podnet uncordon`.

use std::process::ExitCode;

use anyhow::bail;
use kube::Client;
use serde_json::json;

use super::failure::Failures;
use super::resource::{Catalog, Object};
use super::select::{All, ChoiceArg, SelectorArg};
use super::{ClusterArg, DryRunArg, http};

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
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// Closes nodes to new pods (`closed`), or opens them again.
pub async fn run(client: &Client, args: &Args, closed: bool) -> anyhow::Result<ExitCode> {
    let mut failures = Failures::default();
    let nodes = chosen(client, &args.nodes, args.selector.clone(), &mut failures).await?;
    for node in &nodes {
        failures.keep(cordon(client, node, closed, &args.dry_run).await);
    }
    failures.into_result()?;
    Ok(ExitCode::SUCCESS)
}

/// Nodes by name or by label.
pub async fn chosen(
    client: &Client,
    names: &[String],
    selector: Option<String>,
    failures: &mut Failures,
) -> anyhow::Result<Vec<Object>> {
    let catalog = Catalog::discover(client).await?;
    let mut words = vec!["node".to_owned()];
    for name in names {
        // `node/a` is as good.
        words.push(name.rsplit('/').next().unwrap_or(name).to_owned());
    }
    let choice = ChoiceArg {
        selector: SelectorArg {
            selector,
            field_selector: None,
        },
        ..ChoiceArg::default()
    };
    let nodes = choice
        .of(&words, All::No)
        .objects(client, &catalog, failures)
        .await?;
    if nodes.is_empty() && failures.are_none() {
        bail!("no nodes found");
    }
    Ok(nodes)
}

pub async fn cordon(
    client: &Client,
    node: &Object,
    closed: bool,
    dry_run: &DryRunArg,
) -> anyhow::Result<()> {
    let done = if closed { "cordoned" } else { "uncordoned" };
    let is = node.value["spec"]["unschedulable"] == true;
    if is == closed {
        println!("{} already {done}{}", node.slashed(), dry_run.suffix());
        return Ok(());
    }
    if !dry_run.is_client() {
        let patch = json!({"spec": {"unschedulable": closed.then_some(true)}});
        let url = format!(
            "{}?fieldManager=kubectl-cordon{}",
            node.path(),
            dry_run.parameter()
        );
        http::patch(client, &url, http::MERGE_PATCH, &patch).await?;
    }
    println!("{} {done}{}", node.slashed(), dry_run.suffix());
    Ok(())
}
