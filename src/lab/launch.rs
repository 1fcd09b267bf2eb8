//! From `podnet up` to a PID 1: what is handed over, and how failure comes back.
//!
//! `up` runs podnet again as `supervise`, with the API's listening socket as
//! standard input and one end of a socket pair as standard output. That
//! process leaves the host ([`isolate`]) and runs podnet once more as the PID 1 of
//! the new namespaces, which inherits all three and boots the lab from the one
//! request on the channel. Either answers it with why it cannot go on.
//!
//! Standard descriptors carry them, since they alone pass exec without a
//! window in which some other child could inherit them.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use rustix::process::Resource;
use thiserror::Error;

use super::control::{Changes, Channel, ControlError, Reply, Request};
use super::init::Init;
use super::isolate::{self, IsolateError};
use super::state::{LabDir, StateError};
use super::supervisor::{self, SupervisorError};
use super::topology::{Lab, LabName};

#[derive(Debug, Error)]
pub enum LaunchError {
    #[error(
        "port {port} on 127.0.0.1 is in use; choose another with --api-port, or 0 for any that is free"
    )]
    PortInUse { port: u16 },
    #[error("cannot listen on port {port} of 127.0.0.1")]
    Listen { port: u16, source: io::Error },
    #[error("cannot {step} the lab's supervisor")]
    Process {
        step: &'static str,
        source: io::Error,
    },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("the kernel gives no namespaces for a lab: {why}; {mend}")]
    Forbidden { why: String, mend: String },
    #[error(transparent)]
    Isolate(#[from] IsolateError),
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
}

/// The socket the user reaches the API by, in the caller's network namespace.
///
/// # Errors
/// [`LaunchError::PortInUse`] names the port.
pub fn bind_api(port: u16) -> Result<TcpListener, LaunchError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => LaunchError::PortInUse { port },
        _ => LaunchError::Listen { port, source },
    })
}

/// Starts the lab's supervisor and waits until it has built the lab: underlay
/// and nodes are there, the server is started and the agents are due.
pub fn launch(dir: &LabDir, lab: &Lab, api: TcpListener) -> Result<Changes, LaunchError> {
    let (near, far) = UnixStream::pair().map_err(failed("make a channel to"))?;
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(dir.supervisor_log())
        .map_err(failed("open the log of"))?;
    let mut first = supervise(dir)?
        .stdin(OwnedFd::from(api))
        .stdout(OwnedFd::from(far))
        .stderr(log)
        .spawn()
        .map_err(failed("start"))?;
    let answer = Channel::over(near).ask(&Request::Boot { lab: lab.to_file() });
    first.wait().map_err(failed("wait for"))?;
    match answer? {
        (Reply::Changed(changes), _) => Ok(changes),
        (Reply::Forbidden { why, mend }, _) => Err(LaunchError::Forbidden { why, mend }),
        _ => Err(ControlError::Gone.into()),
    }
}

/// The first of the two processes: leaves the host, starts PID 1 and goes.
pub fn supervise_outside(name: &LabName) -> Result<(), LaunchError> {
    let mut command = supervise(&LabDir::new(name))?;
    close_inherited().map_err(failed("close what was inherited by"))?;
    // Fails only in a process group's leader, which nobody's fresh child is.
    let _ = nix::unistd::setsid();
    if let Err(error) = isolate::leave_host() {
        take_channel()?.send(&forbidden(&error), &[])?;
        return Err(error.into());
    }
    command
        .arg("--init")
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed("start PID 1 of"))?;
    Ok(())
}

/// The second: PID 1. Returns when the lab is to end.
pub fn supervise_inside(name: &LabName) -> Result<(), LaunchError> {
    let mut channel = take_channel()?;
    let api = take_listener()?;
    let dir = LabDir::new(name);
    raise_descriptor_limit();
    // While /proc is still the host's.
    let init = Init::myself().map_err(failed("identify"))?;
    let booted = isolate::settle(name)
        .map_err(LaunchError::from)
        .and_then(|()| Ok(supervisor::boot(&dir, &mut channel, api, init)?));
    match booted {
        Ok((supervisor, changes)) => {
            channel.send(&Reply::Changed(changes), &[])?;
            drop(channel);
            Ok(supervisor.run()?)
        }
        Err(error) => {
            let reply = match &error {
                LaunchError::Isolate(error) => forbidden(error),
                other => Reply::Refused(super::chain(other)),
            };
            channel.send(&reply, &[])?;
            Err(error)
        }
    }
}

fn forbidden(error: &IsolateError) -> Reply {
    Reply::Forbidden {
        why: super::chain(error),
        mend: error.mend(),
    }
}

fn failed(step: &'static str) -> impl FnOnce(io::Error) -> LaunchError {
    move |source| LaunchError::Process { step, source }
}

/// As far as this process may. A node takes its supervisor two descriptors, an
/// endpoint or a pair takes `check` a socket, and the usual limit is 1,024.
pub fn raise_descriptor_limit() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Small labs fit the old one; in a large one, what lacks a descriptor says so.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}

/// This binary as a supervisor of the lab. It gets the root of all labs by
/// name: inside a user namespace it cannot tell who it is.
fn supervise(dir: &LabDir) -> Result<Command, LaunchError> {
    let binary = env::current_exe().map_err(failed("find the binary of"))?;
    let root = std::path::absolute(super::state::root()).map_err(failed("find the root of"))?;
    let mut command = Command::new(binary);
    command
        .args(["supervise", "--lab", dir.name().as_str()])
        .env(super::state::STATE_DIR_VARIABLE, root)
        .current_dir("/");
    Ok(command)
}

/// A shell or a harness may have left descriptors open that would then stay
/// open for as long as the lab lives. Standard ones are ours.
fn close_inherited() -> io::Result<()> {
    let entries = fs::read_dir("/proc/self/fd")?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let open: Vec<RawFd> = numbers.collect();
    for number in open.into_iter().filter(|number| *number > 2) {
        // The one that the listing itself used is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Standard output until now, standard error from now on.
fn take_channel() -> Result<Channel, LaunchError> {
    let copy = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map_err(failed("take the channel of"))?;
    nix::unistd::dup2_stdout(io::stderr())
        .map_err(io::Error::from)
        .map_err(failed("redirect the output of"))?;
    Ok(Channel::over(UnixStream::from(copy)))
}

/// Standard input until now, /dev/null from now on.
fn take_listener() -> Result<TcpListener, LaunchError> {
    let copy = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(failed("take the API socket of"))?;
    let null = File::open("/dev/null").map_err(failed("open /dev/null for"))?;
    nix::unistd::dup2_stdin(null)
        .map_err(io::Error::from)
        .map_err(failed("close the input of"))?;
    Ok(TcpListener::from(copy))
}
