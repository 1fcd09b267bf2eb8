//! Running a command inside a lab: in its underlay, in a node, in a pod.
//!
//! The supervisor hands out the namespaces; this process joins them and starts
//! the command as its child, since a PID namespace is only ever joined by
//! children. For that this process must have one thread (setns(2), user and
//! mount namespaces), and it stays inside: a way for processes that have
//! nothing else left to do.

use std::env;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use thiserror::Error;

use super::control::{Channel, ControlError, NamespaceKind, Place, Reply, Request};
use super::state::{self, LabDir};
use crate::model::{NodeName, PodName};

#[derive(Debug, Error)]
pub enum EnterError {
    #[error("lab {0} is not up; `podnet up` starts it")]
    NotUp(String),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("cannot join the lab's {kind:?} namespace")]
    Join { kind: NamespaceKind, source: Errno },
    #[error("cannot compare user namespaces")]
    Compare { source: io::Error },
    #[error("cannot run {program}")]
    Run { program: String, source: io::Error },
    #[error("cannot receive signals")]
    Signals { source: Errno },
}

impl EnterError {
    pub fn is_no_such_command(&self) -> bool {
        matches!(self, EnterError::Run { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The underlay, from where every node is one hop away.
    Lab,
    Node(NodeName),
    Pod(PodName),
}

/// Runs `command` inside and waits for it. SIGTERM and SIGHUP are passed on;
/// what the terminal sends, it sends the command itself. The command finds the
/// lab's name, state and kubeconfig in its environment.
pub fn run_inside(
    lab: &LabDir,
    target: &Target,
    command: &mut Command,
) -> Result<ExitStatus, EnterError> {
    let not_up = || EnterError::NotUp(lab.name().to_string());
    let channel = Channel::connect(lab)?.ok_or_else(not_up)?;
    let of = match target {
        Target::Lab => Place::Underlay,
        Target::Node(node) => Place::Node {
            name: node.to_string(),
        },
        Target::Pod(pod) => Place::Pod {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
        },
    };
    let (reply, descriptors) = channel.ask(&Request::Namespaces { of })?;
    let Reply::Namespaces(kinds) = reply else {
        return Err(ControlError::Gone.into());
    };
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| EnterError::Run { program, source };
    let root = std::path::absolute(state::root());
    let directory = env::current_dir();
    join(kinds.into_iter().zip(descriptors))?;
    // Joining a mount namespace moves to its root directory.
    if let Ok(directory) = directory {
        let _ = env::set_current_dir(directory);
    }
    if let Ok(root) = root {
        command.env(state::STATE_DIR_VARIABLE, root);
    }
    let child = command
        .env("PODNET_LAB", lab.name().as_str())
        .env("KUBECONFIG", lab.kubeconfig_inside())
        .spawn()
        .map_err(failed)?;
    wait_passing_signals(child)
}

/// The supervisor sends the user namespace first: it gives the right to join
/// the others.
fn join(namespaces: impl Iterator<Item = (NamespaceKind, OwnedFd)>) -> Result<(), EnterError> {
    for (kind, namespace) in namespaces {
        // Joining the user namespace one is in is an error.
        if kind == NamespaceKind::User && is_own_user_namespace(&namespace)? {
            continue;
        }
        let flag = match kind {
            NamespaceKind::User => CloneFlags::CLONE_NEWUSER,
            NamespaceKind::Mnt => CloneFlags::CLONE_NEWNS,
            NamespaceKind::Pid => CloneFlags::CLONE_NEWPID,
            NamespaceKind::Net => CloneFlags::CLONE_NEWNET,
            NamespaceKind::Uts => CloneFlags::CLONE_NEWUTS,
            NamespaceKind::Ipc => CloneFlags::CLONE_NEWIPC,
        };
        setns(namespace.as_fd(), flag).map_err(|source| EnterError::Join { kind, source })?;
    }
    Ok(())
}

fn is_own_user_namespace(other: &OwnedFd) -> Result<bool, EnterError> {
    let compare = |errno: rustix::io::Errno| EnterError::Compare {
        source: errno.into(),
    };
    let own = rustix::fs::stat("/proc/self/ns/user").map_err(compare)?;
    let other = rustix::fs::fstat(other).map_err(compare)?;
    Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
}

fn wait_passing_signals(mut child: Child) -> Result<ExitStatus, EnterError> {
    let signals = SigSet::from_iter([
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
    ]);
    // Only now, or the child would be born with them blocked. Whatever comes
    // before ends us as it would have ended any command.
    signals
        .thread_block()
        .map_err(|source| EnterError::Signals { source })?;
    loop {
        let ended = child.try_wait().map_err(|source| EnterError::Run {
            program: "the command to its end".to_owned(),
            source,
        })?;
        if let Some(status) = ended {
            return Ok(status);
        }
        let signal = signals
            .wait()
            .map_err(|source| EnterError::Signals { source })?;
        if matches!(signal, Signal::SIGTERM | Signal::SIGHUP) {
            // It may have ended in between; the next look will tell.
            let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
        }
    }
}
