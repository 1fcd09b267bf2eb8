//! Entering network namespaces.
//!
//! A network namespace is a property of a thread. Whoever enters one does it on
//! a thread of its own that ends with the work, so that no other work is ever
//! done in the wrong namespace.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};

use crate::kernel::KernelError;

/// The calling thread's.
const OWN: &str = "/proc/thread-self/ns/net";

/// A handle on the calling thread's network namespace. It keeps the namespace
/// alive for as long as it is open.
pub fn current_netns() -> Result<OwnedFd, KernelError> {
    File::open(OWN)
        .map(OwnedFd::from)
        .map_err(|error| KernelError::io(format!("open {OWN}"), &error))
}

/// A new, empty network namespace, held by nothing but the handle.
pub fn new_netns() -> Result<OwnedFd, KernelError> {
    on_own_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|errno| KernelError::new("make a network namespace", errno))?;
        current_netns()
    })
}

/// Do `work` in the network namespace behind `netns`.
pub fn in_netns<T: Send>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, KernelError> {
    on_own_thread(|| {
        setns(netns.as_fd(), CloneFlags::CLONE_NEWNET)
            .map_err(|errno| KernelError::new("enter a network namespace", errno))?;
        Ok(work())
    })
}

fn on_own_thread<T: Send>(
    work: impl FnOnce() -> Result<T, KernelError> + Send,
) -> Result<T, KernelError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .spawn_scoped(scope, work)
            .map_err(|error| KernelError::io("start a thread for a namespace", &error))?;
        let failed = || KernelError::new("work in a network namespace", Errno::EIO);
        thread.join().unwrap_or_else(|_| Err(failed()))
    })
}
