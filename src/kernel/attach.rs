//! Attaching a pod: trying slots until the kernel grants one.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::ipam;
use crate::model::{AttachmentId, Family, LinkName, Mac, NodeCidrs, PodName, Slot};

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
    pub wishes: Wishes,
}

/// Where an attachment differs from what a node gives its own pods: a default
/// route per family via the bridge, a MAC that follows from the address, hairpin
/// on, and IPv6 off in a pod without an IPv6 address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Of the interface in the pod; `None`: it follows from the address.
    pub mac: Option<Mac>,
    /// `None`: a default route for each of the node's ranges.
    pub routes: Option<Vec<PodRoute>>,
    pub gateway: Gateway,
    pub without_hairpin: bool,
    /// The pod may have other networks: what is switched off is switched off on
    /// this interface alone.
    pub one_of_several: bool,
}

/// What a pod knows of its gateway from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gateway {
    /// A permanent entry: its MAC follows from its address, as the bridge's does.
    #[default]
    Permanent,
    /// Nothing: the bridge is somebody else's, or has no address of this range.
    Learned,
}

/// A route of a pod, in its main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodRoute {
    pub destination: IpNetwork,
    /// `None`: the destination is on the pod's own link.
    pub via: Option<IpAddr>,
}

impl Attach<'_> {
    /// Of the interface in the pod. `None`: the range has no such slot.
    pub fn mac(&self, slot: Slot) -> Option<Mac> {
        self.wishes.mac.or_else(|| ipam::mac(self.cidrs, slot))
    }

    /// Of the port, so that nobody has to ask for it: it is no station's address, and
    /// need only be unlike all that are. `None`: the range has no such slot.
    pub fn port_mac(&self, slot: Slot) -> Option<Mac> {
        ipam::mac(self.cidrs, slot).map(Mac::of_port)
    }

    /// What the pod's main table is to have beside its own networks.
    pub fn routes(&self) -> Vec<PodRoute> {
        if let Some(routes) = &self.wishes.routes {
            return routes.clone();
        }
        let default = |cidr: IpNetwork| {
            Some(PodRoute {
                destination: everywhere(Family::of(cidr.ip()))?,
                via: Some(ipam::gateway(cidr)?),
            })
        };
        self.cidrs.iter().filter_map(default).collect()
    }
}

fn everywhere(family: Family) -> Option<IpNetwork> {
    let zero = match family {
        Family::V4 => IpAddr::from([0; 4]),
        Family::V6 => IpAddr::from([0; 16]),
    };
    IpNetwork::new(zero, 0).ok()
}

/// Try every slot of the node once, from `start` on. The name of the link is
/// the lock: a slot that someone takes first is refused by the kernel, which costs
/// a socket and a message; one that is seen to be taken is passed over for less.
/// `None`: the node's range is used up.
///
/// # Errors
/// Any refusal but a taken slot; nothing is left behind.
pub fn attach_first_free<K: Kernel>(
    kernel: &K,
    attach: &Attach<'_>,
    start: Slot,
    sandbox: &K::Sandbox,
) -> Result<Option<Slot>, KernelError> {
    let free = |slot: &Slot| !kernel.is_taken(*slot);
    for slot in ipam::slots_from(attach.cidrs, start).filter(free) {
        match kernel.attach(attach, slot, sandbox) {
            Ok(()) => return Ok(Some(slot)),
            Err(error) if error.refusal() == Refusal::Exists && error.step == taken(slot) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The step that a taken slot fails in; both sides of [`Kernel`] use it.
pub fn taken(slot: Slot) -> String {
    format!("create link {slot}")
}
