//! What is asked of a pod's pause process for a client.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

use super::console::{Console, Output};
use super::program::Program;
use super::query::{Ask, Streams};
use super::status::{self, Failure};
use crate::pod::nonblocking::nonblocking;
use crate::pod::protocol::{Container, Refusal};
use crate::pod::{Pause, PauseError, Stdio};

/// Returns once the container is not in its run number `attempt` any more.
pub async fn ended(dir: &Path, container: &str, attempt: u32) {
    let runs = |one: &Container| one.name == container && one.attempt == attempt;
    let Ok(pause) = Pause::connect(dir) else {
        return;
    };
    let Ok((all, mut changes)) = pause.watch().await else {
        return;
    };
    if !all.iter().any(|one| runs(one) && one.ended.is_none()) {
        return;
    }
    while let Some(one) = changes.next().await {
        if one.name == container && (one.attempt != attempt || one.ended.is_some()) {
            return;
        }
    }
}

/// Whether it can be carried out at all: after an upgrade not every client hears why not.
pub async fn check(dir: &Path, ask: &Ask) -> Result<(), Failure> {
    let unreachable = |error: PauseError| Failure::not_found(format!("the pod has ended: {error}"));
    let pause = Pause::connect(dir).map_err(unreachable)?;
    let (Ask::Exec { container, .. } | Ask::Attach { container, .. }) = ask else {
        return Ok(());
    };
    let (all, _) = pause.watch().await.map_err(unreachable)?;
    let found = all.iter().find(|one| one.name == *container);
    match found.map(|one| one.ended.is_none()) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::bad(format!("container {container} has ended"))),
        None => Err(Failure::bad(format!("container {container} has not begun"))),
    }
}

/// Runs a program, or attaches to one, for the client at `console`.
pub async fn run(dir: &Path, ask: Ask, console: Console) {
    let output = console.output.clone();
    if let Err(failure) = try_run(dir, ask, console).await {
        // A client that is gone need not be told.
        let _ = output.send(Output::Status(failure.status())).await;
    }
}

async fn try_run(dir: &Path, ask: Ask, console: Console) -> Result<(), Failure> {
    let pause = Pause::connect(dir).map_err(|error| Failure::internal(error.to_string()))?;
    match ask {
        Ask::Exec {
            container,
            command,
            streams,
        } => exec(&pause, &container, &command, streams, console).await,
        Ask::Attach { container, streams } => attach(&pause, &container, streams, console).await,
        Ask::Log { .. } | Ask::PortForward { .. } => Err(Failure::internal("it runs no program")),
    }
}

async fn exec(
    pause: &Pause,
    container: &str,
    command: &[String],
    streams: Streams,
    console: Console,
) -> Result<(), Failure> {
    let refused = |error: PauseError| {
        Failure::internal(format!("error executing command in container: {error}"))
    };
    let (program, exec) = if streams.tty {
        let exec = pause.exec(container, command, Stdio::Terminal).await;
        let mut exec = exec.map_err(refused)?;
        let terminal = exec.terminal.take();
        let terminal = terminal.ok_or_else(|| Failure::internal("no terminal came"))?;
        let program = on_terminal(terminal, streams).map_err(broken)?;
        (program, exec)
    } else {
        let (program, ends) = pipes(streams).map_err(broken)?;
        let descriptors = Stdio::Descriptors(ends.each_ref().map(AsFd::as_fd));
        let exec = pause.exec(container, command, descriptors).await;
        (program, exec.map_err(refused)?)
    };
    let ended = async {
        match exec.ended().await {
            Ok(ended) => status::of_exit(&ended),
            Err(error) => Failure::internal(format!("the program was lost: {error}")).status(),
        }
    };
    program.run(console, ended).await;
    Ok(())
}

async fn attach(
    pause: &Pause,
    container: &str,
    streams: Streams,
    console: Console,
) -> Result<(), Failure> {
    let (mut program, [stdin, stdout, stderr]) = pipes(streams).map_err(broken)?;
    let outputs: &[BorrowedFd<'_>] = match streams.tty {
        true => &[stdout.as_fd()],
        false => &[stdout.as_fd(), stderr.as_fd()],
    };
    let input = streams.stdin.then_some(stdin.as_fd());
    let attached = pause.attach(container, input, outputs).await;
    let mut attached = attached
        .map_err(|error| Failure::internal(format!("error attaching to container: {error}")))?;
    // Only the pod holds its ends now, so that theirs is the end.
    drop((stdin, stdout, stderr));
    program.terminal = attached.terminal.take();
    let ended = async {
        match attached.ended().await {
            // How it ended is the pod's status.
            Ok(_) => status::success(),
            Err(error) => Failure::internal(format!("the container was lost: {error}")).status(),
        }
    };
    program.run(console, ended).await;
    Ok(())
}

/// To what listens on the pod's loopback.
pub async fn dial(dir: &Path, port: u16) -> Result<TcpStream, Failure> {
    let failed = |error: PauseError| undialled(port, &error);
    let pause = Pause::connect(dir).map_err(failed)?;
    pause.tcp(port).await.map_err(failed)
}

/// Names both addresses that are tried; the error is the first one's.
fn undialled(port: u16, error: &PauseError) -> Failure {
    let tried = format!("127.0.0.1:{port} or [::1]:{port} in the pod");
    Failure::internal(match error.refusal() {
        Some(Refusal::ConnectionRefused) => {
            format!("nothing listens on {tried}: connection refused")
        }
        _ => format!("cannot connect to {tried}: {error}"),
    })
}

fn broken(error: io::Error) -> Failure {
    Failure::internal(format!("make the program's streams: {error}"))
}

fn on_terminal(terminal: OwnedFd, streams: Streams) -> io::Result<Program> {
    let copy = |wanted: bool| -> io::Result<Option<AsyncFd<OwnedFd>>> {
        wanted
            .then(|| nonblocking(terminal.try_clone()?))
            .transpose()
    };
    Ok(Program {
        stdin: copy(streams.stdin)?,
        stdout: copy(streams.stdout)?,
        stderr: None,
        terminal: Some(terminal),
    })
}

/// A program's streams and the ends that it is to have: standard input, output, error.
fn pipes(streams: Streams) -> io::Result<(Program, [OwnedFd; 3])> {
    let mut program = Program::default();
    let stdin = match streams.stdin {
        true => {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            program.stdin = Some(nonblocking(write)?);
            read
        }
        false => File::open("/dev/null")?.into(),
    };
    let output = |wanted: bool, ours: &mut Option<AsyncFd<OwnedFd>>| -> io::Result<OwnedFd> {
        if !wanted {
            return Ok(OpenOptions::new().write(true).open("/dev/null")?.into());
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        *ours = Some(nonblocking(read)?);
        Ok(write)
    };
    let stdout = output(streams.stdout, &mut program.stdout)?;
    let stderr = output(streams.stderr, &mut program.stderr)?;
    Ok((program, [stdin, stdout, stderr]))
}
