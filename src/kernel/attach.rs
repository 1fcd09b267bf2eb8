//! Attaching a pod: trying slots until the kernel grants one.

use crate::ipam;
use crate::model::{AttachmentId, LinkName, NodeCidrs, PodName, Slot};

use super::{Kernel, KernelError, Refusal};

/// What is to be plugged in, but for the slot.
#[derive(Clone, Debug)]
pub struct Attach<'a> {
    pub bridge: &'a LinkName,
    pub cidrs: &'a NodeCidrs,
    pub id: &'a AttachmentId,
    /// The interface's name in the pod.
    pub interface: &'a LinkName,
    /// Becomes the link's alias.
    pub pod: &'a PodName,
    pub mtu_bytes: u32,
}

/// Try every slot of the node once, from `start` on. The name of the link is
/// the lock: a slot that someone else has, or takes first, is refused by the
/// kernel and costs a socket and a message. `None`: the node's range is used up.
///
/// # Errors
/// Any refusal but a taken slot; nothing is left behind.
pub fn attach_first_free<K: Kernel>(
    kernel: &K,
    attach: &Attach<'_>,
    start: Slot,
    sandbox: &K::Sandbox,
) -> Result<Option<Slot>, KernelError> {
    for slot in ipam::slots_from(attach.cidrs, start) {
        match kernel.attach(attach, slot, sandbox) {
            Ok(()) => return Ok(Some(slot)),
            Err(error) if error.refusal() == Refusal::Exists && error.step == taken(slot) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The step that a taken slot fails in; both sides of [`Kernel`] use it.
pub(super) fn taken(slot: Slot) -> String {
    format!("create link {slot}")
}
