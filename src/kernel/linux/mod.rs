//! The real side: rtnetlink in the calling thread's network namespace.
//!
//! Requests go out in batches over blocking sockets. The messages are built by
//! rtnetlink's builders; its asynchronous connection is not used, because it
//! drops a dump's error and its interruption, and because a request that the
//! kernel carries out inside `sendmsg` gains nothing from being awaited.

mod apply;
mod attach;
mod bridge;
mod fault;
mod inspect;
mod masquerade;
mod message;
mod monitor;
mod netns;
mod observe;
mod socket;
mod strangers;
mod sysctl;
mod underlay;

pub use bridge::{BridgeSpec, BridgeState};
pub use inspect::{FarEnd, NearEnd};
pub use masquerade::{end_masquerade, is_masqueraded, masquerade};
pub use monitor::Monitor;
pub use netns::{current_netns, in_netns, new_netns};
pub use socket::{Request, Socket};
pub use sysctl::disable_ipv6;
pub use underlay::{Cable, Switch, ensure_switch, plug, unplug};

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ipnetwork::IpNetwork;

use crate::model::{AttachmentId, Slot};
use crate::plan::{Observed, Op};

use netns::Visitor;

use super::{Attach, Kernel, KernelError};

/// The network namespace in which [`Linux::open`] was called. Settings below
/// `/proc/sys/net` are those of the calling thread, which belongs there too.
pub struct Linux {
    socket: Mutex<Socket>,
    visitor: Visitor,
    /// Whether links are born without IPv6 here, as in an IPv4 lab's nodes. Read when
    /// the first is made: whoever only deletes does not need to know.
    born_without_ipv6: OnceLock<bool>,
}

impl Linux {
    pub fn open() -> Result<Linux, KernelError> {
        Ok(Linux {
            socket: Mutex::new(Socket::open()?),
            visitor: Visitor::default(),
            born_without_ipv6: OnceLock::new(),
        })
    }

    /// For a process that has, and will have, one thread: that one visits the pods'
    /// namespaces.
    pub fn alone() -> Result<Linux, KernelError> {
        let open = Linux::open()?;
        Ok(Linux {
            visitor: Visitor::alone(),
            ..open
        })
    }

    /// What others have put here that may lead packets for `ranges` elsewhere.
    pub fn strangers(&self, ranges: &[IpNetwork]) -> Vec<String> {
        strangers::strangers(&mut self.socket(), ranges)
    }

    /// A request that panicked half way leaves replies behind, which the next
    /// one skips by their sequence numbers: a poisoned lock is usable.
    fn socket(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kernel for Linux {
    type Sandbox = OwnedFd;

    fn observe(&self, node_addresses: &[IpAddr]) -> Result<Observed, KernelError> {
        observe::observe(&mut self.socket(), node_addresses)
    }

    fn apply(&self, op: &Op) -> Result<(), KernelError> {
        apply::apply(&mut self.socket(), op)
    }

    fn is_taken(&self, slot: Slot) -> bool {
        message::index_of(&self.socket(), &slot.link_name()).is_ok()
    }

    fn attach(
        &self,
        attach: &Attach<'_>,
        slot: Slot,
        sandbox: &OwnedFd,
    ) -> Result<(), KernelError> {
        let mut inside = self.visitor.socket_in(sandbox.as_fd())?;
        let ends = attach::Ends {
            outside: &mut self.socket(),
            inside: &mut inside,
            visitor: &self.visitor,
            sandbox,
            quiet: *self
                .born_without_ipv6
                .get_or_init(sysctl::born_without_ipv6),
        };
        ends.attach(attach, slot)
    }

    fn mend_sandbox(
        &self,
        attach: &Attach<'_>,
        slot: Slot,
        sandbox: &OwnedFd,
    ) -> Result<(), KernelError> {
        let mut inside = self.visitor.socket_in(sandbox.as_fd())?;
        attach::mend_sandbox(&mut inside, attach, slot)
    }

    fn find(&self, id: &AttachmentId) -> Result<Option<Slot>, KernelError> {
        attach::find(&mut self.socket(), id)
    }

    fn detach(&self, id: &AttachmentId) -> Result<Option<Slot>, KernelError> {
        attach::detach(&mut self.socket(), id)
    }

    fn reap(&self) -> Result<(), KernelError> {
        attach::reap(&mut self.socket())
    }
}
