//! `podnet up`: a new lab, one that was killed, or one that runs, made as asked.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use ipnetwork::IpNetwork;

use crate::lab::bring_up::{Brought, How, bring_up};
use crate::lab::control::Status;
use crate::lab::topology::{LabFile, LabName, NodeMasks, Overrides};
use crate::lab::{LabDir, export};
use crate::model::NodeName;

use super::settle::wait_until_settled;
use super::{client, ready, status};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The lab's name [default: the file's, else default]
    #[arg(long, env = "PODNET_LAB", value_name = "NAME")]
    lab: Option<String>,
    /// The lab's topology, in YAML; - reads it from standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Have node-1 to node-N [default: 3, or as many as the lab has]
    #[arg(long, value_name = "N")]
    nodes: Option<u32>,
    /// One range, or one of each family [default: 10.244.0.0/16]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    cluster_cidr: Option<Vec<IpNetwork>>,
    /// Prefix length of a node's IPv4 range [default: 24]
    #[arg(long, value_name = "BITS")]
    node_mask: Option<u8>,
    /// Prefix length of a node's IPv6 range [default: 64]
    #[arg(long, value_name = "BITS")]
    node_mask_ipv6: Option<u8>,
    /// How packets travel between nodes; host-gw
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Port of the API on 127.0.0.1; 0 is any that is free [default: 0]
    #[arg(long, value_name = "PORT")]
    api_port: Option<u16>,
    /// How long nodes may take to become ready
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait_timeout: u32,
    /// Name node namespaces in /run/netns, for `ip netns exec` (root only)
    #[arg(long)]
    export_netns: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.export_netns {
        export::check_allowed()?;
    }
    let started = Instant::now();
    let brought = bring_up(&wanted(args)?)?;
    announce(&brought);
    let deadline = started + Duration::from_secs(args.wait_timeout.into());
    let settled = client::runtime()?.block_on(async {
        tokio::select! {
            settled = settle(&brought, deadline) => settled,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!(
                "interrupted; the lab goes on without waiting, `podnet down` takes it down"
            )),
        }
    });
    let first_node =
        settled.with_context(|| format!("lab {} did not get ready", brought.dir.name()))?;
    wait_until_settled(&brought.dir, deadline)?;
    if args.export_netns {
        export(&brought.dir)?;
    }
    status::print_table(&brought.dir)?;
    what_next(brought.dir.name(), first_node.as_deref(), started.elapsed());
    Ok(ExitCode::SUCCESS)
}

/// Brings the API's objects in line with the lab, and waits for the nodes. The
/// first node's name, if there is one.
async fn settle(brought: &Brought, deadline: Instant) -> anyhow::Result<Option<String>> {
    let client = client::connect(&brought.dir).await?;
    let wait = ready::Wait {
        dir: &brought.dir,
        client: &client,
        since: brought.booted,
        deadline,
    };
    let nodes = Status::ask(&brought.dir)?
        .lab
        .spec
        .nodes
        .unwrap_or_default();
    // First: nodes that come may have the addresses of those that went.
    client::forget_nodes(&client, &brought.changes.removed).await?;
    let names = nodes.iter().map(|node| node.name.clone()).collect();
    wait.nodes(names).await?;
    for node in &nodes {
        if brought.changes.relabelled.contains(&node.name) {
            client::relabel_node(&client, &node.name, &node.labels).await?;
        }
    }
    Ok(nodes.into_iter().next().map(|node| node.name))
}

fn announce(brought: &Brought) {
    let name = brought.dir.name();
    match brought.how {
        How::New => {}
        How::Resumed => eprintln!("lab {name} was killed; going on with what it kept"),
        How::Running if brought.changes.is_empty() => eprintln!("lab {name} is up already"),
        How::Running => eprintln!("lab {name} is up already; changing it"),
    }
    for (what, names) in [
        ("added", &brought.changes.added),
        ("removed", &brought.changes.removed),
        ("relabelled", &brought.changes.relabelled),
    ] {
        if !names.is_empty() && brought.how != How::New {
            eprintln!("{what}: {}", names.join(", "));
        }
    }
}

fn export(dir: &LabDir) -> anyhow::Result<()> {
    let nodes = Status::ask(dir)?.nodes;
    let names: Result<Vec<NodeName>, _> = nodes.keys().map(|name| NodeName::new(name)).collect();
    for path in export::publish(dir, &names?)? {
        eprintln!("named {}", path.display());
    }
    Ok(())
}

fn what_next(name: &LabName, node: Option<&str>, took: Duration) {
    let lab = match name.as_str() {
        crate::lab::topology::DEFAULT_NAME => String::new(),
        other => format!(" --lab {other}"),
    };
    eprintln!(
        "\nlab {name} is up after {:.1} s. Next:",
        took.as_secs_f64()
    );
    eprintln!("  export KUBECONFIG=$(podnet kubeconfig{lab} --path)");
    if node.is_some() {
        eprintln!("  podnet run web --image=pause{lab}     podnet get pods -o wide{lab}");
    }
    let shell = node.map_or(String::new(), |node| {
        format!("podnet shell{lab} {node}     ")
    });
    eprintln!("  podnet check{lab}     {shell}podnet down{lab}");
}

/// The file with the flags over it.
fn wanted(args: &Args) -> anyhow::Result<LabFile> {
    let file = match &args.file {
        Some(path) => LabFile::read(path)?,
        None => LabFile::empty(),
    };
    Ok(file.overridden(Overrides {
        name: args.lab.clone(),
        nodes: args.nodes,
        cluster_cidrs: args.cluster_cidr.clone(),
        node_masks: NodeMasks {
            ipv4: args.node_mask,
            ipv6: args.node_mask_ipv6,
        },
        backend: args.backend.clone(),
        api_port: args.api_port,
    }))
}
