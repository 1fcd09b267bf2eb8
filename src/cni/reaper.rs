//! Who deletes detached links where no agent does.
//!
//! Deleting a link costs a DEL twenty milliseconds of waiting, and deleting two
//! hundred together costs no more. So a DEL leaves its link to a process that
//! waits until a burst of DELs had time to gather, and then deletes all of them.
//! Until then they are ports of the bridge that are down; an ADD that finds the bridge
//! full deletes them itself.
//!
//! One such process waits at a time, held by a name: an abstract socket, which is
//! the network namespace's and goes with its holder, however that ends. It lets go
//! of the name before it deletes, so a DEL that finds the name taken knows that
//! its link, already dead, will be among those deleted.

use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::kernel::linux::Linux;
use crate::kernel::{Kernel, KernelError};

/// The word on the command line that makes the plugin a reaper.
pub const REAP: &str = "reap";
/// Which socket names the reaper that waits.
const NAME: &[u8] = b"podnet-cni-reaper";
/// How long a burst of DELs has to gather. Nobody else can change a link while a batch
/// is deleted, so it is to come after the burst rather than into it.
const GATHER: Duration = Duration::from_secs(1);

/// See to it that dead links are deleted soon. Best effort: the next DEL, GC or
/// agent deletes them too.
pub fn reap_soon() {
    let Some(name) = waiting() else { return };
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let child = Command::new(program)
        .arg(REAP)
        .env_clear()
        .current_dir("/")
        // The name goes along as the child's standard input.
        .stdin(Stdio::from(OwnedFd::from(name)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    // Its parent ends before it does; whoever adopts it waits for it.
    drop(child);
}

/// The name; `None`: another reaper waits, or there is no telling.
fn waiting() -> Option<UnixDatagram> {
    let address = SocketAddr::from_abstract_name(NAME).ok()?;
    UnixDatagram::bind_addr(&address).ok()
}

/// What the child does: wait, let go of the name, delete.
pub fn reap_when_quiet() -> Result<(), KernelError> {
    let kernel = Linux::open()?;
    std::thread::sleep(GATHER);
    let null = std::fs::File::open("/dev/null")
        .map_err(|error| KernelError::io("open /dev/null", &error))?;
    nix::unistd::dup2_stdin(null)
        .map_err(|errno| KernelError::new("let go of the reaper's name", errno))?;
    kernel.reap()
}
