//! The loop of the pause process: waits for everything at once, and for nothing
//! in particular.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SIGCHLD, SIGKILL, SIGTERM, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::connection::Connection;
use super::lines::Stream;
use super::pod::{ConnectionId, Pod};

/// More wait until others have left: each may bring descriptors, of which a
/// process has 1,024 by default.
const MOST_CONNECTIONS: usize = 100;

type Wanted<'a> = (Source, BorrowedFd<'a>, PollFlags);

#[derive(Clone, Copy, Debug)]
enum Source {
    Listener,
    Signals,
    Connection(ConnectionId),
    Launch(i32),
    Output(usize, usize),
    Listening(ConnectionId, Stream),
    Typing(ConnectionId),
    Dial(ConnectionId),
}

/// Until the pod is told to stop; then every process of it has ended.
pub fn serve(pod: &mut Pod, listener: &UnixListener, signals: &SignalFd) -> io::Result<()> {
    while !pod.stopped {
        for (source, events) in wait(pod, listener, signals)? {
            match source {
                Source::Listener => accept(pod, listener)?,
                Source::Signals => hear_signals(pod, signals)?,
                Source::Connection(id) => {
                    if events.contains(PollFlags::POLLOUT) {
                        pod.flush(id);
                    }
                    if events.intersects(!PollFlags::POLLOUT) {
                        pod.hear(id);
                    }
                }
                Source::Launch(pid) => pod.reported(pid),
                Source::Output(container, output) => pod.read_output(container, output),
                Source::Listening(id, stream) => pod.drain(id, stream),
                Source::Typing(id) => pod.type_in(id),
                Source::Dial(id) => pod.proceed(id),
            }
        }
    }
    end_all();
    Ok(())
}

fn accept(pod: &mut Pod, listener: &UnixListener) -> io::Result<()> {
    match listener.accept() {
        Ok((socket, _)) => {
            socket.set_nonblocking(true)?;
            pod.accept(Connection::new(socket));
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        // Too many descriptors, or whoever came has left: others may fare better.
        Err(_) => Ok(()),
    }
}

fn hear_signals(pod: &mut Pod, signals: &SignalFd) -> io::Result<()> {
    while let Some(signal) = signals.read_signal()? {
        if signal.ssi_signo == SIGTERM as u32 {
            pod.stopped = true;
        }
        if signal.ssi_signo == SIGCHLD as u32 {
            pod.reap();
        }
    }
    Ok(())
}

fn wait(
    pod: &Pod,
    listener: &UnixListener,
    signals: &SignalFd,
) -> io::Result<Vec<(Source, PollFlags)>> {
    let mut wanted = vec![(Source::Signals, signals.as_fd(), PollFlags::POLLIN)];
    if pod.connections.len() < MOST_CONNECTIONS {
        wanted.push((Source::Listener, listener.as_fd(), PollFlags::POLLIN));
    }
    connections(pod, &mut wanted);
    outputs(pod, &mut wanted);
    attachments(pod, &mut wanted);
    let fds = wanted
        .iter()
        .map(|(_, fd, events)| PollFd::new(*fd, *events));
    let mut fds: Vec<PollFd<'_>> = fds.collect();
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let events = fds
        .iter()
        .map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
    let ready = wanted.iter().map(|(source, _, _)| *source).zip(events);
    Ok(ready.filter(|(_, events)| !events.is_empty()).collect())
}

fn connections<'a>(pod: &'a Pod, wanted: &mut Vec<Wanted<'a>>) {
    for (id, connection) in &pod.connections {
        // The end of one that is busy is seen all the same.
        let mut events = match connection.busy {
            true => PollFlags::empty(),
            false => PollFlags::POLLIN,
        };
        if connection.has_unsent() {
            events |= PollFlags::POLLOUT;
        }
        wanted.push((Source::Connection(*id), connection.as_fd(), events));
    }
    for launch in pod.launches.values() {
        wanted.push((
            Source::Launch(launch.pid),
            launch.report(),
            PollFlags::POLLIN,
        ));
    }
    for (id, dial) in &pod.dials {
        wanted.push((Source::Dial(*id), dial.socket.as_fd(), PollFlags::POLLOUT));
    }
}

/// But for those to which somebody listens who does not keep up.
fn outputs<'a>(pod: &'a Pod, wanted: &mut Vec<Wanted<'a>>) {
    for (at, container) in pod.containers.iter().enumerate() {
        let Some(running) = &container.running else {
            continue;
        };
        for (number, output) in running.outputs.iter().enumerate() {
            let full = pod
                .attachments
                .values()
                .any(|one| one.container == container.status.name && one.is_full(output.stream));
            if !full {
                let source = Source::Output(at, number);
                wanted.push((source, output.fd.as_fd(), PollFlags::POLLIN));
            }
        }
    }
}

fn attachments<'a>(pod: &'a Pod, wanted: &mut Vec<Wanted<'a>>) {
    for (id, attachment) in &pod.attachments {
        let sinks = [
            (Stream::Stdout, &attachment.stdout),
            (Stream::Stderr, &attachment.stderr),
        ];
        for (stream, sink) in sinks {
            if let Some(sink) = sink
                && sink.has_pending()
            {
                let source = Source::Listening(*id, stream);
                wanted.push((source, sink.fd.as_fd(), PollFlags::POLLOUT));
            }
        }
        let Some(input) = &attachment.input else {
            continue;
        };
        let mut all = pod.containers.iter();
        let container = all.find(|one| one.status.name == attachment.container);
        let stdin = container
            .and_then(|one| one.running.as_ref())
            .and_then(|running| running.stdin.as_ref());
        wanted.push(match stdin {
            Some(stdin) if input.has_pending() => {
                (Source::Typing(*id), stdin.as_fd(), PollFlags::POLLOUT)
            }
            _ => (Source::Typing(*id), input.from.as_fd(), PollFlags::POLLIN),
        });
    }
}

/// As process 1 of the PID namespace: everything else in it.
fn end_all() {
    let _ = kill(Pid::from_raw(-1), SIGKILL);
    while !matches!(waitpid(None, None), Err(Errno::ECHILD)) {}
}
