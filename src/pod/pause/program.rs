//! The pause process' own program, which every container gets to see.
//!
//! A container's process begins as a copy of the pause process, so whoever is in the
//! container can have `/proc/self/exe` run, and then reach the file by that name. From
//! a read-only mount it can be run, and be neither written nor given another mode.

use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountPropagationFlags, mount_change};

use super::inside::{attach, copy_mount};
use super::sys::{self, RDONLY};

/// Gives the calling thread a mount namespace of its own in which `program` is
/// read-only. What it starts inherits that; the thread cannot go back.
pub fn protect_program(program: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    let file = openat(CWD, program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let copy = copy_mount(&file, "", false)?;
    sys::restrict_mount(&copy, RDONLY, false)?;
    Ok(attach(copy, file)?)
}
