//! The kernel's side of a lab's nodes.

use std::os::fd::{AsFd, OwnedFd};

use thiserror::Error;

use crate::kernel::KernelError;
use crate::kernel::linux::{Linux, in_netns};
use crate::lab::LabDir;
use crate::lab::control::{ControlError, node_network};
use crate::model::NodeName;

#[derive(Debug, Error)]
pub enum NodeError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("node {node}: {source}")]
    Kernel { node: NodeName, source: KernelError },
}

impl NodeError {
    pub fn kernel(node: &NodeName) -> impl FnOnce(KernelError) -> NodeError {
        let node = node.clone();
        move |source| NodeError::Kernel { node, source }
    }
}

/// A node's network namespace, and the kernel as seen from there.
pub struct NodeKernel {
    pub netns: OwnedFd,
    pub kernel: Linux,
}

impl NodeKernel {
    /// `None`: the lab has no such node, whatever the API says.
    pub fn open(lab: &LabDir, node: &NodeName) -> Result<Option<NodeKernel>, NodeError> {
        let Some(netns) = node_network(lab, node)? else {
            return Ok(None);
        };
        let kernel = in_netns(netns.as_fd(), Linux::open)
            .and_then(|opened| opened)
            .map_err(NodeError::kernel(node))?;
        Ok(Some(NodeKernel { netns, kernel }))
    }
}
