//! Children that are on their way to become programs.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns};
use nix::unistd::Pid as NixPid;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use crate::pod::protocol::{Ended, Refusal, Reply};
use crate::pod::wire;

use super::child::{self, Place, Stdio};
use super::container::Running;
use super::step::{StartError, Step};
use super::sys;

/// The largest report: a reason with a path or two.
const LONGEST_REPORT: usize = 16 * 1024;

pub struct Launch {
    pub pid: i32,
    report: OwnedFd,
    /// Who waits for the reply.
    pub connection: u32,
    pub what: What,
    pub terminal: Option<OwnedFd>,
    /// It ended before its report was read to the end.
    pub ended: Option<Ended>,
}

pub enum What {
    Container {
        name: String,
        attempt: u32,
        running: Box<Running>,
    },
    Exec,
}

pub enum Report {
    /// Nothing is decided.
    Waiting,
    Started,
    Refused(Refusal, String),
}

impl Launch {
    /// Forks. `namespaces`: what the child does not share with the pause process.
    pub fn fork(
        place: &Place<'_>,
        stdio: Stdio,
        namespaces: CloneFlags,
    ) -> Result<(i32, OwnedFd), StartError> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .step("make a socket")?;
        match sys::fork_into(namespaces).step("make a process")? {
            Some(pid) => Ok((pid, ours)),
            None => {
                drop(ours);
                child::run(place, stdio, &theirs)
            }
        }
    }

    /// As [`Launch::fork`], with the child in the PID namespace of a process.
    pub fn fork_beside(
        first: &OwnedFd,
        place: &Place<'_>,
        stdio: Stdio,
    ) -> Result<(i32, OwnedFd), StartError> {
        let own = pidfd_open(getpid(), PidfdFlags::empty()).step("find the pod's processes")?;
        setns(first, CloneFlags::CLONE_NEWPID).step("enter the container's processes")?;
        let forked = Launch::fork(place, stdio, CloneFlags::empty());
        let returned = setns(own, CloneFlags::CLONE_NEWPID);
        if let (Err(_), Ok((pid, _))) = (&returned, &forked) {
            // What was to start is not known to have a place in this pod any more.
            let _ = nix::sys::signal::kill(NixPid::from_raw(*pid), nix::sys::signal::SIGKILL);
        }
        returned.step("come back from the container's processes")?;
        forked
    }

    pub fn new(pid: i32, report: OwnedFd, connection: u32, what: What) -> Launch {
        Launch {
            pid,
            report,
            connection,
            what,
            terminal: None,
            ended: None,
        }
    }

    pub fn is_exec(&self) -> bool {
        matches!(self.what, What::Exec)
    }

    pub fn report(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }

    /// Reads one message of the child's.
    pub fn read(&mut self) -> Report {
        let mut bytes = vec![0; LONGEST_REPORT];
        let mut descriptors = Vec::new();
        match wire::receive(&self.report, &mut bytes, &mut descriptors) {
            Ok(0) => Report::Started,
            Ok(length) => match descriptors.pop() {
                Some(terminal) => {
                    self.terminal = Some(terminal);
                    Report::Waiting
                }
                None => match serde_json::from_slice(&bytes[..length]) {
                    Ok(Reply::Refused { refusal, why }) => Report::Refused(refusal, why),
                    _ => Report::Refused(Refusal::Failed, "an unreadable report".to_owned()),
                },
            },
            Err(Errno::AGAIN | Errno::INTR) => Report::Waiting,
            Err(errno) => Report::Refused(Refusal::Failed, format!("read the report: {errno}")),
        }
    }
}

pub fn pidfd(pid: i32) -> Result<OwnedFd, StartError> {
    Pid::from_raw(pid)
        .ok_or(Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
        .step("watch the process")
}
