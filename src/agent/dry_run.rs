//! `podnet agent --dry-run`: the plan, printed, and nothing done.

use kube::Client;

use crate::cluster::list_nodes;
use crate::ipam;
use crate::kernel::Kernel;
use crate::kernel::linux::Linux;
use crate::model::LinkName;
use crate::plan::{BRIDGE_NAME, NodeConfig, Uplink, desired, diff};

use super::AgentError;
use super::config::Config;
use super::membership::peers;

const ASSUMED_UPLINK: LinkName = LinkName::constant("eth0");

/// One command a line on stdout; what is not a command begins with `#`.
pub async fn print_plan(client: &Client, config: &Config) -> Result<(), AgentError> {
    let nodes = list_nodes(client).await?;
    let own = nodes.iter().find(|node| node.name == config.node);
    let cidrs = match own.and_then(|node| node.cidrs.clone()) {
        Some(cidrs) => cidrs,
        None => {
            let first = ipam::candidates(&config.ranges, &config.node)
                .next()
                .unwrap_or(0);
            let Some(cidrs) = ipam::nth(&config.ranges, first) else {
                return Ok(());
            };
            println!(
                "# node {} has no range yet; this assumes {cidrs}",
                config.node
            );
            cidrs
        }
    };
    let observed = Linux::open()?.observe(&config.addresses)?;
    let uplink = observed.uplink.clone().unwrap_or_else(|| {
        println!("# no link has this node's address; this assumes {ASSUMED_UPLINK}");
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
        println!("# {complaint}");
    }
    for op in diff(&wanted, &observed) {
        println!("{op}");
    }
    Ok(())
}
