//! Descriptors that the runtime waits for.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::io::unix::AsyncFd;

/// Makes `fd` non-blocking, for all who share its open file description, and has the runtime wait
/// for it.
///
/// # Errors
/// For what cannot be waited for, as a regular file.
pub fn nonblocking(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    // SAFETY: an `OwnedFd` is one open descriptor, the same for as long as it lives, and it is
    // moved in: nobody else can close it.
    Ok(unsafe { AsyncFd::register(fd) }?)
}
