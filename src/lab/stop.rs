//! Taking a lab down: its PID 1 is asked, and failing that killed; the kernel
//! does the rest. Then its directory goes.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use thiserror::Error;

use super::control::{Channel, ControlError, Request};
use super::export;
use super::init::wait_ended;
use super::state::{LabDir, StateError};

/// A PID 1 that was asked exits at once, and hundreds of pods with it.
const GRACE: Duration = Duration::from_secs(5);
/// For the kernel to take down what a killed PID 1 leaves.
const AFTER_KILL: Duration = Duration::from_secs(20);

#[derive(Debug, Error)]
pub enum StopError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(
        "lab {lab} lives, but nobody answers on its control socket; find its `podnet supervise` process and end it"
    )]
    Unreachable { lab: String },
    #[error("cannot {step} PID 1 of the lab, process {pid}")]
    Process {
        step: &'static str,
        pid: i32,
        source: io::Error,
    },
    #[error("process {pid}, PID 1 of the lab, was killed and is still there")]
    Undying { pid: i32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// There was no such lab.
    NotThere,
    /// It was dead; what it had left is gone.
    Remains,
    Running,
}

/// Ends the lab and removes its directory. When it returns, no process, link,
/// mount or namespace of the lab is left. Idempotent.
///
/// # Errors
/// [`StateError::NotALab`] before anything is touched, among others.
pub fn stop(lab: &LabDir) -> Result<Stopped, StopError> {
    if !lab.exists()? {
        return Ok(Stopped::NotThere);
    }
    let was_live = lab.is_live()?;
    if was_live {
        end_init(lab)?;
    } else {
        lab.wait_gone()?;
    }
    export::withdraw(lab);
    lab.remove()?;
    Ok(if was_live {
        Stopped::Running
    } else {
        Stopped::Remains
    })
}

fn end_init(lab: &LabDir) -> Result<(), StopError> {
    let unreachable = || StopError::Unreachable {
        lab: lab.name().to_string(),
    };
    let mut channel = Channel::connect(lab)?.ok_or_else(unreachable)?;
    let pid = channel.peer()?;
    let failed = |step, source| StopError::Process {
        step,
        pid: Pid::as_raw(Some(pid)),
        source,
    };
    let init =
        pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| failed("watch", errno.into()))?;
    // The only answer is that it goes; one that cannot be asked is killed.
    let asked = channel.send(&Request::Stop, &[]).is_ok();
    if asked && wait_ended(init.as_fd(), GRACE).map_err(|errno| failed("wait for", errno.into()))? {
        return Ok(());
    }
    match pidfd_send_signal(&init, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(errno) => return Err(failed("kill", errno.into())),
    }
    if wait_ended(init.as_fd(), AFTER_KILL).map_err(|errno| failed("wait for", errno.into()))? {
        return Ok(());
    }
    Err(StopError::Undying {
        pid: Pid::as_raw(Some(pid)),
    })
}
