//! Leaving the host: the namespaces of a lab and what its PID 1 finds in them.
//!
//! Two steps in two processes, since a process cannot become PID 1 itself:
//! [`leave_host`] in the first, whose next child is PID 1 and calls
//! [`settle`]. Both must run before the process has a second thread
//! (user_namespaces(7), unshare(2)). Nothing here touches the host's own
//! namespaces.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid, sethostname};
use thiserror::Error;

use super::topology::LabName;

/// Settings by which distributions forbid user namespaces: where, the value
/// that forbids, and the command that allows.
const FORBIDDING: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "sudo sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "sudo sysctl -w user.max_user_namespaces=15000",
    ),
];
/// Containers mask parts of /proc, and then the kernel gives no fresh one.
const UNMASK_PROC: &str = "in a container, run it with an unmasked /proc \
                           (docker: --security-opt systempaths=unconfined, or --privileged)";

#[derive(Debug, Error)]
pub enum IsolateError {
    #[error("cannot make {what} namespaces")]
    Unshare { what: &'static str, source: Errno },
    #[error("cannot write {file}")]
    Map {
        file: &'static str,
        source: io::Error,
    },
    #[error("cannot mount {what}")]
    Mount { what: &'static str, source: Errno },
    #[error("cannot set the host name")]
    HostName { source: Errno },
}

impl IsolateError {
    /// What a person can do about it.
    pub fn mend(&self) -> String {
        match self {
            IsolateError::Mount { .. } => UNMASK_PROC.to_owned(),
            _ => namespace_advice(),
        }
    }
}

/// New namespaces for this process, its next child being PID 1 in them. An
/// ordinary user gets a user namespace around them, root in it and nobody
/// outside.
pub fn leave_host() -> Result<(), IsolateError> {
    let (uid, gid) = (geteuid(), getegid());
    let lab = CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    if !uid.is_root() {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(|source| IsolateError::Unshare {
            what: "user",
            source,
        })?;
        // Without CAP_SETGID outside, a gid map needs setgroups denied first
        // (user_namespaces(7)).
        write_map("/proc/self/setgroups", "deny")?;
        write_map("/proc/self/uid_map", &format!("0 {uid} 1"))?;
        write_map("/proc/self/gid_map", &format!("0 {gid} 1"))?;
    }
    unshare(lab).map_err(|source| IsolateError::Unshare {
        what: "PID, mount, network, UTS and IPC",
        source,
    })
}

/// PID 1's surroundings: mounts that do not travel back, a /proc and, where the
/// kernel permits it, a /sys of its own namespaces.
pub fn settle(name: &LabName) -> Result<(), IsolateError> {
    settle_mounts()?;
    sethostname(name.as_str()).map_err(|source| IsolateError::HostName { source })
}

/// The part of [`settle`] that fails where user namespaces are half forbidden.
pub fn settle_mounts() -> Result<(), IsolateError> {
    const NOTHING: Option<&str> = None;
    let kept = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(
        NOTHING,
        "/",
        NOTHING,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        NOTHING,
    )
    .map_err(|source| IsolateError::Mount {
        what: "/ as private",
        source,
    })?;
    mount(Some("proc"), "/proc", Some("proc"), kept, NOTHING).map_err(|source| {
        IsolateError::Mount {
            what: "/proc",
            source,
        }
    })?;
    // In a container /sys may be masked, and then the kernel gives no fresh one
    // (`mount_too_revealing` in fs/namespace.c). Nothing here depends on it.
    let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), kept, NOTHING);
    forget_named_namespaces();
    Ok(())
}

/// Our copy of the host's mounts would keep every namespace alive that the
/// host names in /run/netns, past its `ip netns delete`. A user namespace may
/// not undo inherited mounts; then they stay until the lab goes.
fn forget_named_namespaces() {
    let Ok(entries) = fs::read_dir("/run/netns") else {
        return;
    };
    for entry in entries.flatten() {
        let _ = umount2(&entry.path(), MntFlags::MNT_DETACH);
    }
}

fn write_map(file: &'static str, text: &str) -> Result<(), IsolateError> {
    fs::write(file, text).map_err(|source| IsolateError::Map { file, source })
}

/// What to do where the kernel gives no namespaces. Names the settings that
/// forbid them here, or the usual ones if none is found.
fn namespace_advice() -> String {
    let forbidding: Vec<&str> = FORBIDDING
        .iter()
        .filter(|(file, forbids, _)| {
            fs::read_to_string(file).is_ok_and(|value| value.trim() == *forbids)
        })
        .map(|(_, _, mend)| *mend)
        .collect();
    if forbidding.is_empty() {
        "run podnet as root, or in a container with --privileged; no setting of this machine \
         is known to forbid user namespaces"
            .to_owned()
    } else {
        format!("allow user namespaces: {}", forbidding.join("; "))
    }
}
