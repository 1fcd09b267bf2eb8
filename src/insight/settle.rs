//! Waiting for a change of nodes to have reached every node's kernel.
//!
//! A node is Ready when its own plan is applied. That the others have a route to
//! it is another matter, and the kernel is who knows.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnetwork::IpNetwork;
use kube::Client;
use thiserror::Error;
use tokio::time::Instant;

use crate::cluster::{self, ApiError, NodeView};
use crate::lab::LabDir;
use crate::model::NodeName;

use super::{NodeError, NodeKernel};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, Error)]
pub enum SettleError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("node {node} does not route as it should: {what}; its agent.log says why")]
    TooLate { node: NodeName, what: String },
}

/// Returns when every node has a route to every other node's ranges, and to no
/// other range.
pub async fn settle(lab: &LabDir, client: &Client, deadline: Instant) -> Result<(), SettleError> {
    let nodes = cluster::list_nodes(client).await?;
    for node in &nodes {
        let Some(kernel) = NodeKernel::open(lab, &node.name)? else {
            continue;
        };
        let wanted = ranges(nodes.iter().filter(|other| other.name != node.name));
        loop {
            let found = routed(&kernel)?;
            if found == wanted {
                break;
            }
            if Instant::now() >= deadline {
                let node = node.name.clone();
                return Err(SettleError::TooLate {
                    node,
                    what: difference(&wanted, &found),
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

fn ranges<'a>(nodes: impl Iterator<Item = &'a NodeView>) -> BTreeSet<IpNetwork> {
    let peers = nodes.filter_map(NodeView::peer);
    peers
        .flat_map(|peer| peer.cidrs.iter().collect::<Vec<_>>())
        .collect()
}

fn routed(kernel: &NodeKernel) -> Result<BTreeSet<IpNetwork>, NodeError> {
    let routes = kernel.observe(&[])?.routes;
    Ok(routes.iter().map(|route| route.destination).collect())
}

fn difference(wanted: &BTreeSet<IpNetwork>, found: &BTreeSet<IpNetwork>) -> String {
    let list = |set: Vec<&IpNetwork>| {
        let texts: Vec<String> = set.iter().map(|network| network.to_string()).collect();
        texts.join(", ")
    };
    let missing: Vec<&IpNetwork> = wanted.difference(found).collect();
    let extra: Vec<&IpNetwork> = found.difference(wanted).collect();
    match (missing.is_empty(), extra.is_empty()) {
        (false, true) => format!("no route to {}", list(missing)),
        (true, _) => format!("a route to {}, which no node has", list(extra)),
        (false, false) => format!(
            "no route to {}, and one to {}, which no node has",
            list(missing),
            list(extra)
        ),
    }
}
