//! `podnet up`: a new lab, one that was killed, or one that runs, made as asked.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ipnetwork::IpNetwork;

use crate::lab::control::{Changes, Channel, ControlError, Reply, Request};
use crate::lab::launch::{self, LaunchError};
use crate::lab::topology::{Lab, LabFile, LabName, NodeMasks, Overrides, Spec};
use crate::lab::{LabDir, export};
use crate::model::NodeName;

use super::{client, doctor, ready, status};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The lab's name [default: the file's, else default]
    #[arg(long, env = "PODNET_LAB", value_name = "NAME")]
    lab: Option<String>,
    /// The lab's topology, in YAML
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
    wait_timeout: u64,
    /// Name node namespaces in /run/netns, for `ip netns exec` (root only)
    #[arg(long)]
    export_netns: bool,
}

/// What bringing it up did.
struct Brought {
    dir: LabDir,
    changes: Changes,
    /// Labels of the nodes in `changes.relabelled`.
    labels: BTreeMap<String, BTreeMap<String, String>>,
    /// What the user is told, if there is something to tell.
    note: Option<String>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.export_netns {
        export::check_allowed()?;
    }
    let started = Instant::now();
    let wanted = wanted(args)?;
    let brought = bring_up(&wanted)?;
    if let Some(note) = &brought.note {
        eprintln!("{note}");
    }
    let deadline = started + Duration::from_secs(args.wait_timeout);
    client::runtime()?.block_on(async {
        let client = client::connect(&brought.dir).await?;
        let wait = ready::Wait {
            dir: &brought.dir,
            client: &client,
            since: brought.booted_at(),
            deadline,
        };
        ready::server(&wait).await?;
        client::forget_nodes(&client, &brought.changes.removed).await?;
        for name in &brought.changes.relabelled {
            if let Some(labels) = brought.labels.get(name) {
                client::relabel_node(&client, name, labels).await?;
            }
        }
        let names = status::ask(&brought.dir)?.nodes.into_keys().collect();
        ready::nodes(&wait, names).await
    })?;
    if args.export_netns {
        let nodes = status::ask(&brought.dir)?.nodes;
        let names: Vec<NodeName> = nodes
            .keys()
            .map(|name| NodeName::new(name))
            .collect::<Result<_, _>>()?;
        for path in export::publish(&brought.dir, &names)? {
            eprintln!("named {}", path.display());
        }
    }
    status::print(&brought.dir)?;
    what_next(brought.dir.name(), started.elapsed());
    Ok(ExitCode::SUCCESS)
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
