//! What the pause process knows of its pod, and what requests do to it.

mod listening;
mod starting;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::signal::{SIGKILL, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::pod::protocol::{self, Ended, Refusal, Reply, Request};

use super::attach::Attachment;
use super::connection::Connection;
use super::container::Container;
use super::dial::{Dial, Dialled, dial};
use super::launch::Launch;
use super::start::shared_memory;
use super::step::StartError;
use super::user::IdMap;

pub type ConnectionId = u32;

/// One piece of anything that is read.
const PIECE_BYTES: usize = 8 * 1024;

pub struct Pod {
    users: IdMap,
    groups: IdMap,
    pub connections: BTreeMap<ConnectionId, Connection>,
    next_connection: ConnectionId,
    pub containers: Vec<Container>,
    /// By PID.
    pub launches: BTreeMap<i32, Launch>,
    /// Programs in containers that run, by PID, and who is told of their end.
    execs: BTreeMap<i32, ConnectionId>,
    pub attachments: BTreeMap<ConnectionId, Attachment>,
    pub dials: BTreeMap<ConnectionId, Dial>,
    buffer: Vec<u8>,
    pub stopped: bool,
}

/// A request's answer, if it has one at once.
type Answer = Result<Option<(Reply, Option<OwnedFd>)>, (Refusal, String)>;

impl Pod {
    pub fn new(users: IdMap, groups: IdMap) -> Pod {
        Pod {
            users,
            groups,
            connections: BTreeMap::new(),
            next_connection: 0,
            containers: Vec::new(),
            launches: BTreeMap::new(),
            execs: BTreeMap::new(),
            attachments: BTreeMap::new(),
            dials: BTreeMap::new(),
            buffer: vec![0; PIECE_BYTES],
            stopped: false,
        }
    }

    pub fn accept(&mut self, connection: Connection) {
        self.next_connection = self.next_connection.wrapping_add(1);
        self.connections.insert(self.next_connection, connection);
    }

    /// It has something to say, or has closed.
    pub fn hear(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match connection.receive(&mut self.buffer) {
            Ok(()) => self.requests(id),
            Err(_) => self.forget(id),
        }
    }

    /// Answers what it asked, one after the other.
    fn requests(&mut self, id: ConnectionId) {
        while let Some(connection) = self.connections.get_mut(&id)
            && !connection.busy
            && let Some((request, descriptors)) = connection.request()
        {
            let answer = match request {
                Ok(request) => self.request(id, request, descriptors),
                Err(error) => Err((Refusal::Failed, format!("read the request: {error}"))),
            };
            match answer {
                Ok(Some((reply, descriptor))) => self.reply(id, &reply, descriptor),
                Ok(None) => {}
                Err((refusal, why)) => self.reply(id, &Reply::Refused { refusal, why }, None),
            }
        }
    }

    pub fn flush(&mut self, id: ConnectionId) {
        let over = self.connections.get_mut(&id).map(Connection::flush);
        if let Some(Err(_)) = over {
            self.forget(id);
        }
    }

    fn reply(&mut self, id: ConnectionId, reply: &Reply, descriptor: Option<OwnedFd>) {
        let sent = self
            .connections
            .get_mut(&id)
            .map(|to| to.reply(reply, descriptor));
        if let Some(Err(_)) = sent {
            self.forget(id);
        }
    }

    /// The last answer to what kept it busy.
    fn conclude(&mut self, id: ConnectionId, reply: &Reply, descriptor: Option<OwnedFd>) {
        self.reply(id, reply, descriptor);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.busy = false;
        }
        self.requests(id);
    }

    /// And end what is only there for it.
    pub fn forget(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        self.attachments.remove(&id);
        self.dials.remove(&id);
        let launched = self.launches.values();
        let launched = launched.filter(|launch| launch.is_exec() && launch.connection == id);
        let execs = self.execs.iter().filter(|(_, owner)| **owner == id);
        for pid in launched
            .map(|launch| launch.pid)
            .chain(execs.map(|(pid, _)| *pid))
        {
            // Its session is its own process group; both may be gone.
            let _ = kill(Pid::from_raw(-pid), SIGKILL);
            let _ = kill(Pid::from_raw(pid), SIGKILL);
        }
    }

    fn request(&mut self, id: ConnectionId, request: Request, given: Vec<OwnedFd>) -> Answer {
        match request {
            Request::Watch => self.watch(id),
            Request::Tmpfs { path, size_bytes } => tmpfs(&path, size_bytes),
            Request::Start { bundle } => self.start(id, &bundle),
            Request::Signal { container, signal } => self.signal(&container, signal),
            Request::Exec {
                container,
                argv,
                tty,
            } => self.exec(id, &container, argv, tty, given),
            Request::Attach { container, stdin } => self.attach(id, container, stdin, given),
            Request::Connect { port } => self.dialled(id, dial(id, port)),
            Request::Stop => {
                self.stopped = true;
                Ok(None)
            }
        }
    }

    fn watch(&mut self, id: ConnectionId) -> Answer {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.watches = true;
        }
        let containers = self.containers.iter().map(|one| one.status.clone());
        let containers = containers.collect();
        Ok(Some((Reply::Containers { containers }, None)))
    }

    fn changed(&mut self, container: &protocol::Container) {
        let watchers = self.connections.iter().filter(|(_, one)| one.watches);
        let watchers: Vec<ConnectionId> = watchers.map(|(id, _)| *id).collect();
        for id in watchers {
            let container = container.clone();
            self.reply(id, &Reply::Changed { container }, None);
        }
    }

    fn running(&mut self, name: &str) -> Result<&mut Container, (Refusal, String)> {
        let mut all = self.containers.iter_mut();
        all.find(|one| one.status.name == name && one.running.is_some())
            .ok_or_else(|| {
                (
                    Refusal::NotRunning,
                    format!("container {name} does not run"),
                )
            })
    }

    fn signal(&mut self, container: &str, signal: i32) -> Answer {
        let pid = Pid::from_raw(self.running(container)?.status.pid);
        let failed = |why: String| (Refusal::Failed, why);
        let signal = Signal::try_from(signal)
            .map_err(|_| failed(format!("there is no signal {signal} that can be sent")))?;
        kill(pid, signal).map_err(|errno| failed(format!("send {signal}: {errno}")))?;
        Ok(Some((Reply::Done, None)))
    }

    fn dialled(&mut self, id: ConnectionId, dialled: Dialled) -> Answer {
        match dialled {
            Dialled::Connected(socket) => Ok(Some((Reply::Connected, Some(socket)))),
            Dialled::Failed(errno) => {
                let refusal = match errno {
                    rustix::io::Errno::CONNREFUSED => Refusal::ConnectionRefused,
                    _ => Refusal::Failed,
                };
                Err((refusal, format!("connect: {errno}")))
            }
            Dialled::Waiting(dial) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.busy = true;
                }
                self.dials.insert(id, dial);
                Ok(None)
            }
        }
    }

    /// The connection that is being made is, or is not.
    pub fn proceed(&mut self, id: ConnectionId) {
        let Some(dial) = self.dials.remove(&id) else {
            return;
        };
        match self.dialled(id, dial.proceed()) {
            Ok(Some((reply, socket))) => self.conclude(id, &reply, socket),
            Ok(None) => {}
            Err((refusal, why)) => self.conclude(id, &Reply::Refused { refusal, why }, None),
        }
    }

    /// Children have ended; most are orphans that nobody asks about.
    pub fn reap(&mut self) {
        loop {
            let (pid, exit_code, signal) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code, None),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    (pid, 128 + signal as i32, Some(signal as i32))
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            let ended = Ended {
                exit_code,
                signal,
                at: Timestamp::now(),
            };
            self.ended(pid.as_raw(), ended);
        }
    }

    fn ended(&mut self, pid: i32, ended: Ended) {
        if let Some(launch) = self.launches.get_mut(&pid) {
            launch.ended = Some(ended);
        } else if let Some(id) = self.execs.remove(&pid) {
            self.reply(id, &Reply::Exited { ended }, None);
        } else {
            self.container_ended(pid, ended);
        }
    }

    fn container_ended(&mut self, pid: i32, ended: Ended) {
        let is_it = |one: &&mut Container| one.status.pid == pid && one.running.is_some();
        let Some(container) = self.containers.iter_mut().find(is_it) else {
            return;
        };
        let name = container.status.name.clone();
        let listening = self.attachments.iter_mut();
        let mut listening: Vec<_> = listening.filter(|(_, one)| one.container == name).collect();
        if let Some(mut running) = container.running.take() {
            running.finish(&mut self.buffer, |stream, bytes| {
                for (_, one) in &mut listening {
                    one.hear(stream, bytes);
                }
            });
        }
        for (_, one) in &mut listening {
            one.input = None;
            one.ended = Some(ended);
        }
        let listening: Vec<ConnectionId> = listening.into_iter().map(|(id, _)| *id).collect();
        container.status.ended = Some(ended);
        let status = container.status.clone();
        for id in listening {
            self.conclude_attachment(id);
        }
        self.changed(&status);
    }
}

fn refused(error: StartError) -> (Refusal, String) {
    (error.refusal(), error.to_string())
}

fn tmpfs(path: &Path, size_bytes: Option<u64>) -> Answer {
    let inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !inside || path.as_os_str().is_empty() {
        let why = format!("{} is not in the pod's directory", path.display());
        return Err((Refusal::Failed, why));
    }
    shared_memory(path, size_bytes).map_err(refused)?;
    Ok(Some((Reply::Done, None)))
}
