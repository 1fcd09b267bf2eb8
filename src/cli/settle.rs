//! Waiting until a change of nodes has reached every node.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::bail;

use crate::cluster;
use crate::insight::settle;
use crate::lab::LabDir;

use super::LabArg;
use super::client::runtime;
use super::inside::podnet_inside;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    lab: LabArg,
    #[arg(long, value_name = "MILLISECONDS")]
    within: u64,
    /// Already inside the lab
    #[arg(long)]
    inside: bool,
}

/// In a process of its own: the caller has threads, and more to do out here.
pub fn wait_until_settled(lab: &LabDir, deadline: Instant) -> anyhow::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let status = Command::new(std::env::current_exe()?)
        .args(["settle", "--lab", lab.name().as_str()])
        .args(["--within", &left.as_millis().to_string()])
        .status()?;
    if !status.success() {
        bail!(
            "the nodes of lab {} do not all reach each other yet",
            lab.name()
        );
    }
    Ok(())
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let within = args.within.to_string();
    if !args.inside {
        let lab = args.lab.live_dir()?;
        return podnet_inside(&lab, &["settle", "--inside", "--within", &within]);
    }
    let lab = args.lab.dir()?;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(args.within);
    runtime()?.block_on(async {
        let client = cluster::connect(&lab.kubeconfig_inside()).await?;
        anyhow::Ok(settle(&lab, &client, deadline).await?)
    })?;
    Ok(ExitCode::SUCCESS)
}
