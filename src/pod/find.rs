//! Finding the pods of a node by their sockets.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::model::PodName;

use super::{NAME_FILE, SOCKET};

/// A pause process that is alive.
#[derive(Debug)]
pub struct FoundSandbox {
    pub pod: PodName,
    pub uid: String,
    /// In the caller's PID namespace.
    pub pid: i32,
    /// Stands for the process even when its number is given again.
    pub pidfd: OwnedFd,
    /// Ends when the process does.
    pub connection: UnixStream,
}

/// Every pod below `pods_dir` whose pause process is alive. Directories of
/// dead ones are left for their agent to clear. No directory: no pods.
pub fn find_sandboxes(pods_dir: &Path) -> io::Result<Vec<FoundSandbox>> {
    let entries = match fs::read_dir(pods_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(sandbox) = find_sandbox(&entry.path()) {
            found.push(sandbox);
        }
    }
    Ok(found)
}

/// The pod of one directory; `None` if its pause process is dead or was never
/// ready.
pub fn find_sandbox(dir: &Path) -> Option<FoundSandbox> {
    let uid = dir.file_name()?.to_str()?.to_owned();
    let pod = PodName::parse(fs::read_to_string(dir.join(NAME_FILE)).ok()?.trim()).ok()?;
    let connection = connect(dir).ok()?;
    let pid = getsockopt(&connection, PeerCredentials).ok()?.pid();
    let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    Some(FoundSandbox {
        pod,
        uid,
        pid,
        pidfd,
        connection,
    })
}

/// By way of the directory's descriptor: the path itself may be longer than
/// the 108 bytes of `sun_path`.
pub(super) fn connect(dir: &Path) -> io::Result<UnixStream> {
    let dir = File::open(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))
}
