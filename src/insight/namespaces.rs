//! Ways into the parts of a lab.

use std::os::fd::OwnedFd;

use crate::lab::LabDir;
use crate::lab::control::{Channel, ControlError, NamespaceKind, Place, Reply, Request};
use crate::model::NodeName;

/// A handle on a node's network namespace, from the lab's supervisor. `None`:
/// the lab has no such node, whatever the API says.
pub fn node_netns(lab: &LabDir, node: &NodeName) -> Result<Option<OwnedFd>, ControlError> {
    let channel = Channel::connect(lab)?.ok_or(ControlError::Gone)?;
    let of = Place::Node {
        name: node.to_string(),
    };
    let (reply, descriptors) = match channel.ask(&Request::Namespaces { of }) {
        Err(ControlError::Refused(_)) => return Ok(None),
        answer => answer?,
    };
    let Reply::Namespaces(kinds) = reply else {
        return Err(ControlError::Gone);
    };
    let mut all = kinds.into_iter().zip(descriptors);
    let net = all.find(|(kind, _)| *kind == NamespaceKind::Net);
    Ok(net.map(|(_, fd)| fd))
}
