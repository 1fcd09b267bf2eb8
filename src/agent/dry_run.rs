//! `podnet agent --dry-run`: the plan, told, and nothing done.

use std::fmt::Display;

use crate::cluster::{self, list_nodes};
use crate::ipam;
use crate::kernel::Kernel;
use crate::kernel::linux::Linux;
use crate::model::LinkName;
use crate::plan::{BRIDGE_NAME, NodeConfig, Uplink, desired, diff};

use super::AgentError;
use super::config::Config;
use super::membership::peers;

const ASSUMED_UPLINK: LinkName = LinkName::constant("eth0");

/// One command a line; what is not a command begins with `#`.
pub async fn plan(config: &Config) -> Result<String, AgentError> {
    let client = cluster::connect(&config.kubeconfig).await?;
    let nodes = list_nodes(&client).await?;
    let own = nodes.iter().find(|node| node.name == config.node);
    let mut lines = Lines::default();
    let cidrs = match own.and_then(|node| node.cidrs.clone()) {
        Some(cidrs) => cidrs,
        None => {
            let first = ipam::candidates(&config.ranges, &config.node)
                .next()
                .unwrap_or(0);
            let Some(cidrs) = ipam::nth(&config.ranges, first) else {
                return Ok(lines.0);
            };
            lines.remark(format!(
                "node {} has no range yet; this assumes {cidrs}",
                config.node
            ));
            cidrs
        }
    };
    let observed = Linux::open()?.observe(&config.addresses)?;
    let uplink = observed.uplink.clone().unwrap_or_else(|| {
        lines.remark(format!(
            "no link has this node's address; this assumes {ASSUMED_UPLINK}"
        ));
        Uplink {
            device: ASSUMED_UPLINK,
            mac: None,
            mtu_bytes: 1500,
        }
    });
    let node = NodeConfig {
        bridge: BRIDGE_NAME,
        cidrs,
        uplink,
        static_neighbours: config.static_neighbours,
    };
    let (wanted, complaints) = desired(&node, &peers(nodes.iter(), config));
    for complaint in complaints {
        lines.remark(complaint);
    }
    for op in diff(&wanted, &observed) {
        lines.command(op);
    }
    Ok(lines.0)
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn command(&mut self, command: impl Display) {
        self.0.push_str(&format!("{command}\n"));
    }

    fn remark(&mut self, remark: impl Display) {
        self.command(format_args!("# {remark}"));
    }
}
