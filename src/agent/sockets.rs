//! The node's side of its pods' plugs: which slot a sandbox gets, and setting it right.
//!
//! All of it waits for the kernel's rtnl lock, so it is for threads that may block. A slot
//! is never remembered here: what there is, the kernel says.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use tracing::warn;

use crate::ipam;
use crate::kernel::linux::Linux;
use crate::kernel::{Attach, Kernel, KernelError, Wishes, attach_first_free};
use crate::model::{AttachmentId, LinkName, NameError, NodeCidrs, PodName, Slot};
use crate::plan::{BRIDGE_NAME, Observed};

use super::pods::StartError;

/// The pod's interface.
const INTERFACE: LinkName = LinkName::constant("eth0");
/// Until the uplink's is known.
const MTU_BYTES: u32 = 1500;

pub struct Sockets {
    cidrs: NodeCidrs,
    kernel: Linux,
    mtu_bytes: AtomicU32,
    /// Where to look for a free slot: behind the last one given. 0 until one was.
    cursor: AtomicU32,
}

pub fn attachment(container_id: &str) -> Result<AttachmentId, NameError> {
    AttachmentId::new(container_id, &INTERFACE)
}

impl Sockets {
    pub fn open(cidrs: NodeCidrs) -> Result<Sockets, KernelError> {
        Ok(Sockets {
            cidrs,
            kernel: Linux::open()?,
            mtu_bytes: AtomicU32::new(MTU_BYTES),
            cursor: AtomicU32::new(0),
        })
    }

    /// New plugs have the uplink's MTU. After an agent's restart they come behind what the
    /// one before gave.
    pub fn notice(&self, observed: &Observed) {
        if let Some(uplink) = &observed.uplink {
            self.mtu_bytes.store(uplink.mtu_bytes, Ordering::Relaxed);
        }
        if let Some(last) = observed.ports.keys().last() {
            let (relaxed, behind) = (Ordering::Relaxed, last.offset() + 1);
            let _ = self.cursor.compare_exchange(0, behind, relaxed, relaxed);
        }
    }

    /// A sandbox that an earlier agent plugged in is found by its attachment. `None`: the
    /// node's range is used up.
    pub fn plug_in(
        &self,
        pod: &PodName,
        container_id: &str,
        netns: &OwnedFd,
        prefer: Option<Slot>,
    ) -> Result<Option<Slot>, KernelError> {
        let granted = self.with_attach(pod, container_id, |attach| {
            if let Some(slot) = self.kernel.find(attach.id)? {
                return Ok(Some(slot));
            }
            let cursor = Slot::new(self.cursor.load(Ordering::Relaxed));
            let start = prefer.or(cursor).unwrap_or(Slot::FIRST);
            attach_first_free(&self.kernel, attach, start, netns)
        })?;
        if let Some(slot) = granted {
            self.cursor.store(slot.offset() + 1, Ordering::Relaxed);
        }
        Ok(granted)
    }

    pub fn range_used_up(&self) -> StartError {
        StartError::RangeUsedUp {
            cidrs: self.cidrs.clone(),
            capacity: ipam::slot_capacity(&self.cidrs),
        }
    }

    /// Frees the address. Idempotent; what goes wrong is logged, and left to the reaper.
    pub fn unplug(&self, container_id: &str) {
        if let Ok(id) = attachment(container_id)
            && let Err(error) = self.kernel.detach(&id)
        {
            warn!("{error}");
        }
    }

    /// Sets the pod's own side right.
    pub fn mend(
        &self,
        pod: &PodName,
        container_id: &str,
        slot: Slot,
        netns: &OwnedFd,
    ) -> Result<(), KernelError> {
        self.with_attach(pod, container_id, |attach| {
            self.kernel.mend_sandbox(attach, slot, netns)
        })
    }

    fn with_attach<T>(
        &self,
        pod: &PodName,
        container_id: &str,
        work: impl FnOnce(&Attach<'_>) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        let id = attachment(container_id)
            .map_err(|error| KernelError::new(error.to_string(), Errno::EINVAL))?;
        work(&Attach {
            bridge: &BRIDGE_NAME,
            cidrs: &self.cidrs,
            id: &id,
            interface: &INTERFACE,
            pod,
            mtu_bytes: self.mtu_bytes.load(Ordering::Relaxed),
            wishes: Wishes::default(),
        })
    }
}
