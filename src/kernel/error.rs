//! What the kernel refuses, and what that means to a caller.

use nix::errno::Errno;
use thiserror::Error;

/// A step that the kernel refused: which, on what, and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{step}: {}", explain(*.errno, .detail.as_deref()))]
pub struct KernelError {
    /// The step and its object: `create link pod17`.
    pub step: String,
    pub errno: Errno,
    /// The kernel's own words (`NLMSGERR_ATTR_MSG`), if it had any.
    pub detail: Option<String>,
}

/// What a caller can decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// EEXIST: the name, address or route is taken.
    Exists,
    /// ENODEV: there is no such link.
    NoDevice,
    /// ESRCH, ENOENT, EADDRNOTAVAIL: there is no such route, neighbour or address.
    NoEntry,
    /// EXFULL: the bridge has its 1,023 ports.
    Full,
    /// EPERM, EACCES.
    NotPermitted,
    /// EINTR, EAGAIN, EBUSY, ENOBUFS: the same request may succeed later.
    Transient,
    Other,
}

impl KernelError {
    pub fn new(step: impl Into<String>, errno: Errno) -> KernelError {
        KernelError {
            step: step.into(),
            errno,
            detail: None,
        }
    }

    pub fn io(step: impl Into<String>, error: &std::io::Error) -> KernelError {
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        KernelError {
            step: step.into(),
            errno,
            detail: None,
        }
    }

    pub fn refusal(&self) -> Refusal {
        match self.errno {
            Errno::EEXIST => Refusal::Exists,
            Errno::ENODEV => Refusal::NoDevice,
            Errno::ESRCH | Errno::ENOENT | Errno::EADDRNOTAVAIL => Refusal::NoEntry,
            Errno::EXFULL => Refusal::Full,
            Errno::EPERM | Errno::EACCES => Refusal::NotPermitted,
            Errno::EINTR | Errno::EAGAIN | Errno::EBUSY | Errno::ENOBUFS => Refusal::Transient,
            _ => Refusal::Other,
        }
    }

    /// Whether the same request may succeed if nothing but time changes.
    pub fn can_retry(&self) -> bool {
        self.refusal() == Refusal::Transient
    }
}

fn explain(errno: Errno, detail: Option<&str>) -> String {
    let what = match errno {
        Errno::EXFULL => "the bridge is full (a Linux bridge takes 1,023 ports)",
        Errno::ENODEV => "there is no such link",
        Errno::EEXIST => "it exists already",
        Errno::ESRCH => "there is no such entry",
        other => other.desc(),
    };
    match detail {
        Some(detail) => format!("{what} ({errno:?}: {detail})"),
        None => format!("{what} ({errno:?})"),
    }
}
