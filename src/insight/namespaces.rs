//! The kernel's side of a lab's nodes.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::kernel::linux::{Linux, in_netns};
use crate::kernel::{Kernel, KernelError};
use crate::lab::LabDir;
use crate::lab::control::{ControlError, node_network};
use crate::model::NodeName;
use crate::plan::Observed;

#[derive(Debug, Error)]
pub enum NodeError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("node {node}: {source}")]
    Kernel { node: NodeName, source: KernelError },
}

/// A node's network namespace, and the kernel as seen from there.
pub struct NodeKernel {
    name: NodeName,
    netns: OwnedFd,
    kernel: Linux,
}

impl NodeKernel {
    /// `None`: the lab has no such node, whatever the API says.
    pub fn open(lab: &LabDir, node: &NodeName) -> Result<Option<NodeKernel>, NodeError> {
        let Some(netns) = node_network(lab, node)? else {
            return Ok(None);
        };
        let kernel = in_netns(netns.as_fd(), Linux::open)
            .and_then(|opened| opened)
            .map_err(|source| NodeError::Kernel {
                node: node.clone(),
                source,
            })?;
        Ok(Some(NodeKernel {
            name: node.clone(),
            netns,
            kernel,
        }))
    }

    /// On a thread inside: `/proc/sys/net` shows its reader's namespace.
    pub fn observe(&self, node_addresses: &[IpAddr]) -> Result<Observed, NodeError> {
        in_netns(self.netns.as_fd(), || self.kernel.observe(node_addresses))
            .and_then(|observed| observed)
            .map_err(|source| NodeError::Kernel {
                node: self.name.clone(),
                source,
            })
    }

    /// See [`Linux::strangers`].
    pub fn strangers(&self, ranges: &[IpNetwork]) -> Vec<String> {
        self.kernel.strangers(ranges)
    }

    pub fn into_netns(self) -> OwnedFd {
        self.netns
    }
}
