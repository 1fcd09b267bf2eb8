//! `registry.k8s.io/pause`: does nothing, until it is told to end.
//!
//! With `shareProcessNamespace` it can be process 1, to which the others'
//! orphans fall: it reaps them.

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use signal_hook::consts::SIGCHLD;

use super::end::End;
use super::{ProgramError, no_arguments};

pub fn run(args: &[String]) -> Result<u8, ProgramError> {
    no_arguments("pause", args)?;
    let mut end = End::expect(&[SIGCHLD])?;
    // Some may have died before anybody listened.
    reap();
    while end.next() == SIGCHLD {
        reap();
    }
    Ok(0)
}

/// One SIGCHLD may stand for several.
fn reap() {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}
