//! `podnet node`: nodes join and leave a lab that is up.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::lab::control::{Channel, ControlError, Request};
use crate::lab::export;
use crate::lab::topology::{NodeEntry, TopologyError, parse_label};
use crate::model::NodeName;

use super::ready::Wait;
use super::settle::wait_until_settled;
use super::{LabArg, client};

/// How long the other nodes may take to forget one that was removed.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Add a node and wait until it is ready
    Add {
        #[command(flatten)]
        lab: LabArg,
        name: String,
        /// May be given more than once
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        wait_timeout: u32,
    },
    /// Remove a node, its pods and its Node object
    Remove {
        #[command(flatten)]
        lab: LabArg,
        name: String,
    },
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Add {
            lab,
            name,
            labels,
            wait_timeout,
        } => {
            let labels: Result<BTreeMap<_, _>, _> =
                labels.iter().map(|label| parse_label(label)).collect();
            let node = NodeEntry {
                name: name.clone(),
                labels: labels?,
            };
            add(lab, node, Duration::from_secs((*wait_timeout).into()))
        }
        Command::Remove { lab, name } => remove(lab, name),
    }
}

fn add(lab: &LabArg, node: NodeEntry, patience: Duration) -> anyhow::Result<ExitCode> {
    let (started, deadline) = (Timestamp::now(), Instant::now() + patience);
    let name = node.name.clone();
    check_name(&name)?;
    let dir = lab.live_dir()?;
    let channel = Channel::connect(&dir)?.ok_or(ControlError::Gone)?;
    channel.ask(&Request::AddNode { node })?;
    client::runtime()?.block_on(async {
        let client = client::connect(&dir).await?;
        let wait = Wait {
            dir: &dir,
            client: &client,
            since: Some(started),
            deadline,
        };
        wait.nodes([name].into()).await
    })?;
    wait_until_settled(&dir, deadline)?;
    Ok(ExitCode::SUCCESS)
}

/// The supervisor first: an agent that still ran would register its node again.
fn remove(lab: &LabArg, name: &str) -> anyhow::Result<ExitCode> {
    check_name(name)?;
    let dir = lab.live_dir()?;
    let channel = Channel::connect(&dir)?.ok_or(ControlError::Gone)?;
    let request = Request::RemoveNode {
        name: name.to_owned(),
    };
    channel.ask(&request)?;
    export::withdraw_nodes(&dir, &[name.to_owned()]);
    client::runtime()?.block_on(async {
        let client = client::connect(&dir).await?;
        client::forget_nodes(&client, &[name.to_owned()]).await
    })?;
    eprintln!("node {name} is removed");
    // It is gone whether or not the others have taken note.
    if let Err(error) = wait_until_settled(&dir, Instant::now() + REMOVAL_PATIENCE) {
        eprintln!("warning: {error:#}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Typed, so that a bad name is wrong usage.
fn check_name(name: &str) -> Result<(), TopologyError> {
    NodeName::new(name)?;
    Ok(())
}
