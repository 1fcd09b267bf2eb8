//! The only code that speaks netlink.
//!
//! [`Kernel`] has two sides: [`linux::Linux`], and [`fake::Fake`], which keeps
//! its state in memory and refuses what Linux refuses. One body of contract
//! tests runs on both. Calls are synchronous, as the kernel is: a netlink
//! request is carried out inside the system call that sends it.

mod attach;
mod error;
pub mod fake;
pub mod linux;

pub use attach::{Attach, Gateway, PodRoute, Wishes, attach_first_free, taken};
pub use error::{KernelError, Refusal};

use std::net::IpAddr;

use crate::model::{AttachmentId, Slot};
use crate::plan::{Observed, Op};

/// One network namespace, a node's, as podnet uses it.
pub trait Kernel: Send + Sync + 'static {
    /// A handle on a pod's network namespace.
    type Sandbox: Send + Sync;

    /// Everything in this namespace that is ours, and the link that carries
    /// one of `node_addresses`. A dump that was interrupted is read again, so
    /// that nothing is ever deleted on the word of an incomplete one.
    fn observe(&self, node_addresses: &[IpAddr]) -> Result<Observed, KernelError>;

    /// Carry out one step of a plan. The set operations are idempotent; adding
    /// what exists and deleting what does not are refused, as Linux does.
    fn apply(&self, op: &Op) -> Result<(), KernelError>;

    /// Whether a link of the slot's name is there. Cheap, and old news at once.
    fn is_taken(&self, slot: Slot) -> bool;

    /// Plug a sandbox into the bridge at `slot`, all or nothing: the veth pair,
    /// the addresses, the default routes, permanent neighbours on both sides.
    /// [`Refusal::Exists`] if the slot, or the attachment, is taken.
    fn attach(
        &self,
        attach: &Attach<'_>,
        slot: Slot,
        sandbox: &Self::Sandbox,
    ) -> Result<(), KernelError>;

    /// Set the pod's side of an attachment right again: addresses, routes,
    /// neighbours. Changes nothing where nothing is wrong.
    fn mend_sandbox(
        &self,
        attach: &Attach<'_>,
        slot: Slot,
        sandbox: &Self::Sandbox,
    ) -> Result<(), KernelError>;

    /// Where an attachment is, if it is committed.
    fn find(&self, id: &AttachmentId) -> Result<Option<Slot>, KernelError>;

    /// Free the name and the address of an attachment at once; the link itself
    /// waits in the dead group for [`Kernel::reap`]. `None`: there was none.
    fn detach(&self, id: &AttachmentId) -> Result<Option<Slot>, KernelError>;

    /// Delete all links in the dead group in one request.
    fn reap(&self) -> Result<(), KernelError>;
}
