//! The agent's side of [`protocol`](super::protocol).
//!
//! Every request has a connection of its own, so none waits for another. What is
//! dropped before its end is taken back by the pause process: a program that was
//! started by [`Pause::exec`] is killed with the [`Exec`].

mod talk;

use std::io;
use std::net;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::sched::{CloneFlags, unshare};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::bundle::Bundle;
use super::find;
use super::pause::protect_program;
use super::protocol::{Container, Ended, Refusal, Reply, Request};
use super::{HOST_NETWORK, NO_IPV6};
use talk::Talk;

#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    #[error("{why}")]
    Refused { refusal: Refusal, why: String },
    #[error("{step}: {source}")]
    Io {
        step: &'static str,
        source: io::Error,
    },
}

impl PauseError {
    /// The pause process is not there any more.
    pub fn is_gone(&self) -> bool {
        use io::ErrorKind::{
            BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof,
        };
        let kinds = [
            BrokenPipe,
            ConnectionRefused,
            ConnectionReset,
            NotFound,
            UnexpectedEof,
        ];
        matches!(self, PauseError::Io { source, .. } if kinds.contains(&source.kind()))
    }

    /// `None`: it was not the pause process that refused.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            PauseError::Refused { refusal, .. } => Some(*refusal),
            PauseError::Io { .. } => None,
        }
    }
}

/// What a pause process is started with.
#[derive(Debug)]
pub struct NewPod<'a> {
    pub program: &'a Path,
    /// The pod's, where its socket will be.
    pub dir: &'a Path,
    pub hostname: &'a str,
    /// Whether it will have IPv6 addresses.
    pub ipv6: bool,
    /// It stays in the network of this process, and keeps its host name.
    pub host_network: bool,
}

/// Starts a pause process and waits until it listens.
pub async fn spawn(pod: &NewPod<'_>) -> io::Result<Child> {
    let mut command = Command::new(pod.program);
    command
        .arg(pod.dir)
        .arg(pod.hostname)
        .args((!pod.ipv6).then_some(NO_IPV6))
        .args(pod.host_network.then_some(HOST_NETWORK))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .process_group(0);
    let mut child = spawn_as_first(command, pod.program.to_owned()).await?;
    let mut said = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut said).await?;
    }
    if said != "ready\n" {
        let status = child.wait().await?;
        let text = format!("podnet-pause ended with {status}; its error is in the agent's log");
        return Err(io::Error::other(text));
    }
    Ok(child)
}

/// As process 1 of a new PID namespace. That is a thread's business: its next
/// child is, and the thread can do nothing else any more (pid_namespaces(7)).
async fn spawn_as_first(mut command: Command, program: PathBuf) -> io::Result<Child> {
    let handle = Handle::current();
    let (send, receive) = oneshot::channel();
    std::thread::Builder::new()
        .name("first process".to_owned())
        .spawn(move || {
            let _inside = handle.enter();
            let child = unshare(CloneFlags::CLONE_NEWPID)
                .map_err(io::Error::from)
                .and_then(|()| protect_program(&program))
                .and_then(|()| command.spawn());
            // Nobody waits any more: the child is reaped by the runtime.
            let _ = send.send(child);
        })?;
    receive.await.map_err(io::Error::other)?
}

/// A pause process that listens.
#[derive(Debug)]
pub struct Pause {
    dir: PathBuf,
    /// Ends when the process does.
    alive: UnixStream,
}

/// What a program in a container reads and writes.
#[derive(Debug)]
pub enum Stdio<'a> {
    /// Standard input, output and error.
    Descriptors([BorrowedFd<'a>; 3]),
    /// A terminal, which comes back.
    Terminal,
}

/// A program that runs in a container; dropped, it is killed.
#[derive(Debug)]
pub struct Exec {
    /// In the pod's PID namespace.
    pub pid: i32,
    pub terminal: Option<OwnedFd>,
    talk: Talk,
}

/// Output that comes here too; no more once it is dropped.
#[derive(Debug)]
pub struct Attached {
    /// The container's, for its size.
    pub terminal: Option<OwnedFd>,
    talk: Talk,
}

/// Containers as they change.
#[derive(Debug)]
pub struct Changes {
    talk: Talk,
}

impl Pause {
    /// Of the pod in this directory. Fails if its process is dead.
    pub fn connect(dir: &Path) -> Result<Pause, PauseError> {
        let alive = find::connect(dir).and_then(asynchronous);
        Ok(Pause {
            dir: dir.to_owned(),
            alive: alive.map_err(io_step("reach the pod"))?,
        })
    }

    /// Every container now, and then each as it changes.
    pub async fn watch(&self) -> Result<(Vec<Container>, Changes), PauseError> {
        let mut talk = self.talk()?;
        match talk.ask(&Request::Watch, &[]).await? {
            Reply::Containers { containers } => Ok((containers, Changes { talk })),
            other => Err(unexpected(&other)),
        }
    }

    /// See [`Request::Tmpfs`].
    pub async fn tmpfs(&self, path: &Path, size_bytes: Option<u64>) -> Result<(), PauseError> {
        let path = path.to_owned();
        self.done(&Request::Tmpfs { path, size_bytes }).await
    }

    /// The first process of the container, in the pod's PID namespace, and since
    /// when it runs.
    pub async fn start(&self, bundle: &Bundle) -> Result<(i32, Timestamp), PauseError> {
        let bundle = Box::new(bundle.clone());
        let mut talk = self.talk()?;
        match talk.ask(&Request::Start { bundle }, &[]).await? {
            Reply::Started { pid, at } => Ok((pid, at)),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn signal(&self, container: &str, signal: i32) -> Result<(), PauseError> {
        let container = container.to_owned();
        self.done(&Request::Signal { container, signal }).await
    }

    /// See [`Request::Exec`].
    pub async fn exec(
        &self,
        container: &str,
        argv: &[String],
        stdio: Stdio<'_>,
    ) -> Result<Exec, PauseError> {
        let request = Request::Exec {
            container: container.to_owned(),
            argv: argv.to_vec(),
            tty: matches!(stdio, Stdio::Terminal),
        };
        let descriptors: &[BorrowedFd<'_>] = match &stdio {
            Stdio::Descriptors(descriptors) => descriptors,
            Stdio::Terminal => &[],
        };
        let mut talk = self.talk()?;
        match talk.ask(&request, descriptors).await? {
            Reply::Started { pid, .. } => Ok(Exec {
                pid,
                terminal: talk.descriptors.pop(),
                talk,
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// `stdin`: what is typed. `outputs`: standard output, and error for a container
    /// without a terminal. They are made non-blocking.
    pub async fn attach(
        &self,
        container: &str,
        stdin: Option<BorrowedFd<'_>>,
        outputs: &[BorrowedFd<'_>],
    ) -> Result<Attached, PauseError> {
        let request = Request::Attach {
            container: container.to_owned(),
            stdin: stdin.is_some(),
        };
        let descriptors: Vec<BorrowedFd<'_>> = stdin.iter().chain(outputs).copied().collect();
        let mut talk = self.talk()?;
        match talk.ask(&request, &descriptors).await? {
            Reply::Done => Ok(Attached {
                terminal: talk.descriptors.pop(),
                talk,
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// To what listens on the pod's loopback.
    pub async fn tcp(&self, port: u16) -> Result<TcpStream, PauseError> {
        let mut talk = self.talk()?;
        let reply = talk.ask(&Request::Connect { port }, &[]).await?;
        match (reply, talk.descriptors.pop()) {
            (Reply::Connected, Some(socket)) => TcpStream::from_std(net::TcpStream::from(socket)),
            (Reply::Connected, None) => Err(io::ErrorKind::InvalidData.into()),
            (other, _) => return Err(unexpected(&other)),
        }
        .map_err(io_step("take the connection"))
    }

    /// Ends every container and the pod; it has ended when [`Pause::ended`] returns.
    pub async fn stop(&self) -> Result<(), PauseError> {
        let mut talk = self.talk()?;
        talk.send(&Request::Stop, &[]).await
    }

    /// Returns once the pause process is gone.
    pub async fn ended(&self) {
        ended(&self.alive).await;
    }

    async fn done(&self, request: &Request) -> Result<(), PauseError> {
        match self.talk()?.ask(request, &[]).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn talk(&self) -> Result<Talk, PauseError> {
        let stream = find::connect(&self.dir).and_then(asynchronous);
        Ok(Talk::over(stream.map_err(io_step("reach the pod"))?))
    }
}

impl Exec {
    pub async fn ended(mut self) -> Result<Ended, PauseError> {
        self.talk.exited().await
    }
}

impl Attached {
    /// When the container has, and all its output has been handed on.
    pub async fn ended(mut self) -> Result<Ended, PauseError> {
        self.talk.exited().await
    }
}

impl Changes {
    /// `None`: the pod is gone. Nothing is lost if this is dropped half-way.
    pub async fn next(&mut self) -> Option<Container> {
        match self.talk.reply().await {
            Ok(Reply::Changed { container }) => Some(container),
            _ => None,
        }
    }
}

/// Returns once the other end of a connection that says nothing is gone.
pub(super) async fn ended(connection: &UnixStream) {
    while connection.readable().await.is_ok() {
        match connection.try_read(&mut [0; 16]) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
}

fn asynchronous(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn io_step(step: &'static str) -> impl Fn(io::Error) -> PauseError {
    move |source| PauseError::Io { step, source }
}

fn unexpected(reply: &Reply) -> PauseError {
    let text = format!("an answer to something else: {reply:?}");
    io_step("hear from the pod")(io::Error::new(io::ErrorKind::InvalidData, text))
}
