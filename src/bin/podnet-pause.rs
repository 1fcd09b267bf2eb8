//! The process that is a pod: it owns the pod's namespaces and waits.
//!
//! `podnet-pause DIR HOSTNAME [--no-ipv6]` makes network, UTS and IPC namespaces of its
//! own, listens on `DIR/sandbox.sock`, prints `ready` and lives until it is
//! told to stop over that socket or killed. A connection stays open as long as
//! the process lives, so that whoever holds one sees it end; it outlives the
//! agent that started it. It uses no async runtime and no thread: there is one
//! of these per pod, so its memory counts.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{dup2_stdout, sethostname};
use podnet::kernel::linux::disable_ipv6;
use podnet::pod::{NO_IPV6, SOCKET, STOP};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (dir, hostname, ipv6) = match words[..] {
        [dir, hostname] => (dir, hostname, true),
        [dir, hostname, NO_IPV6] => (dir, hostname, false),
        _ => {
            eprintln!("usage: podnet-pause DIR HOSTNAME [{NO_IPV6}]");
            return ExitCode::from(2);
        }
    };
    match start(dir, hostname, ipv6).and_then(|listener| wait(&listener)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("podnet-pause: {hostname}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Errors name the step, since all its caller sees is this line.
fn step<T, E: Into<io::Error>>(what: &str, result: Result<T, E>) -> io::Result<T> {
    result.map_err(|error| {
        let error = error.into();
        io::Error::new(error.kind(), format!("{what}: {error}"))
    })
}

fn start(dir: &str, hostname: &str, ipv6: bool) -> io::Result<UnixListener> {
    // The socket's name stays within the 108 bytes that `sun_path` has.
    step("enter the pod's directory", std::env::set_current_dir(dir))?;
    if let Err(error) = fs::remove_file(SOCKET)
        && error.kind() != io::ErrorKind::NotFound
    {
        return step("remove an old socket", Err(error));
    }
    let namespaces = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    step("make namespaces", unshare(namespaces))?;
    step("set the host name", sethostname(hostname))?;
    if !ipv6 {
        let off = disable_ipv6().map_err(io::Error::other);
        step("switch IPv6 off", off)?;
    }
    let listener = step("listen", UnixListener::bind(SOCKET))?;
    let mut out = io::stdout();
    step(
        "report ready",
        out.write_all(b"ready\n").and_then(|()| out.flush()),
    )?;
    // The agent reads up to the end of the pipe: let go of it.
    let null = step("open /dev/null", fs::File::create("/dev/null"))?;
    step("let go of the output", dup2_stdout(null))?;
    Ok(listener)
}

/// Hold every connection until its other end closes it or says [`STOP`].
fn wait(listener: &UnixListener) -> io::Result<()> {
    let mut connections: Vec<UnixStream> = Vec::new();
    loop {
        let ready = readable(listener, &connections)?;
        if ready.contains(&listener.as_raw_fd()) {
            let (connection, _) = step("accept", listener.accept())?;
            connections.push(connection);
        }
        let mut stop = false;
        connections.retain_mut(|connection| {
            if !ready.contains(&connection.as_raw_fd()) {
                return true;
            }
            let mut byte = [0];
            let received = connection.read(&mut byte);
            stop |= matches!(received, Ok(1)) && byte[0] == STOP;
            matches!(received, Ok(1))
        });
        if stop {
            return Ok(());
        }
    }
}

fn readable(listener: &UnixListener, connections: &[UnixStream]) -> io::Result<Vec<i32>> {
    let mut fds = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    fds.extend(
        connections
            .iter()
            .map(|c| PollFd::new(c.as_fd(), PollFlags::POLLIN)),
    );
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return step("wait", Err(errno)),
    }
    let has_news = |fd: &&PollFd| fd.revents().is_some_and(|events| !events.is_empty());
    Ok(fds
        .iter()
        .filter(has_news)
        .map(|fd| fd.as_fd().as_raw_fd())
        .collect())
}
