//! A lab's PID 1 as the host sees it, and waiting for its end.
//!
//! The lock falls when PID 1 closes its files; the rest of the lab is then
//! still dying. A process that is PID 1 is dead only when its whole namespace
//! is (`zap_pid_ns_processes` in kernel/pid_namespace.c), so that is what
//! whoever follows waits for.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

/// A PID alone may be anybody's by the time it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Init {
    pub pid: i32,
    /// In clock ticks since boot: field 22 of proc_pid_stat(5).
    pub start_time: u64,
}

impl Init {
    /// The calling process by the names that /proc now gives: the host's, if
    /// this is asked before a /proc of its own is mounted.
    pub fn myself() -> io::Result<Init> {
        let text = fs::read_to_string("/proc/self/stat")?;
        parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Waits until it, and all of its namespace, is gone; at once if it is.
    /// False if that takes longer than `patience`.
    pub fn wait_gone(&self, patience: Duration) -> io::Result<bool> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(true);
        };
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(rustix::io::Errno::SRCH) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        };
        // Only with the descriptor open does the answer stay true.
        match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(text) if parse(&text) == Some(*self) => Ok(wait_ended(process.as_fd(), patience)?),
            _ => Ok(true),
        }
    }
}

/// Whether the process behind `pidfd` ends within `patience`.
pub fn wait_ended(pidfd: BorrowedFd<'_>, patience: Duration) -> Result<bool, Errno> {
    let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], patience) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The command's name may hold spaces and parentheses; it ends with the last.
fn parse(stat: &str) -> Option<Init> {
    let (pid, _) = stat.split_once(' ')?;
    let (_, after_name) = stat.rsplit_once(')')?;
    // The next field is the third, the state.
    let start_time = after_name.split_whitespace().nth(22 - 3)?;
    Some(Init {
        pid: pid.parse().ok()?,
        start_time: start_time.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn waits_for_the_process_that_was_meant_and_no_other() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("its stat");
        let init = parse(&stat).expect("a stat");
        assert!(!init.wait_gone(Duration::ZERO).expect("asked"));
        let other = Init {
            start_time: init.start_time + 1,
            ..init
        };
        assert!(other.wait_gone(Duration::ZERO).expect("asked"));
        child.kill().expect("killed");
        assert!(init.wait_gone(Duration::from_secs(60)).expect("asked"));
        child.wait().expect("reaped");
        assert!(init.wait_gone(Duration::ZERO).expect("asked"));
    }

    #[test]
    fn a_name_with_parentheses_is_no_obstacle() {
        let text = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        let init = parse(text).expect("a stat");
        assert_eq!((init.pid, init.start_time), (42, 777));
    }
}
