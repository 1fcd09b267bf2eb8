//! What a lab's PID 1 can be asked, over `control.sock` in its directory.
//!
//! One request a connection: a line of JSON there, a line of JSON back, and
//! with it, where namespaces were asked for, their descriptors (SCM_RIGHTS).
//! Who may connect is who may enter the directory: its owner. The messages are
//! between one version of podnet and itself; another version is refused by the
//! directory's format before it gets here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::state::LabDir;
use super::topology::{LabFile, NodeEntry};
use crate::model::NodeName;

/// A lab of a thousand nodes is some 100 KB.
const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// What a lab sends at most at once: one of each kind in [`NamespaceKind`].
const MAX_DESCRIPTORS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Error)]
pub enum ControlError {
    #[error("cannot {step} {}", path.display())]
    Socket {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot {step} the lab's supervisor")]
    Exchange {
        step: &'static str,
        source: io::Error,
    },
    #[error("the lab's supervisor is gone; its supervisor.log says why")]
    Gone,
    #[error("the lab's supervisor sent what is no reply")]
    Garbled { source: serde_json::Error },
    #[error("{0}")]
    Refused(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// The first and only one on the channel that a PID 1 is born with.
    Boot {
        lab: LabFile,
    },
    Status,
    /// Have exactly these nodes.
    Converge {
        lab: LabFile,
    },
    AddNode {
        node: NodeEntry,
    },
    RemoveNode {
        name: String,
    },
    Namespaces {
        of: Place,
    },
    /// Exit, and all of the lab with it. Answered by the connection's end.
    Stop,
}

/// Where in a lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    Underlay,
    Node { name: String },
    Pod { namespace: String, name: String },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    Changed(Changes),
    Status(Box<Status>),
    /// Kinds in the order of the descriptors that come along.
    Namespaces(Vec<NamespaceKind>),
    Refused(String),
    /// The kernel would not give the lab its namespaces.
    Forbidden {
        why: String,
        mend: String,
    },
}

/// What was done to the set of nodes, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub relabelled: Vec<String>,
}

impl Status {
    /// Asks the lab's supervisor.
    pub fn ask(lab: &LabDir) -> Result<Status, ControlError> {
        let channel = Channel::connect(lab)?.ok_or(ControlError::Gone)?;
        match channel.ask(&Request::Status)? {
            (Reply::Status(status), _) => Ok(*status),
            _ => Err(ControlError::Gone),
        }
    }
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.relabelled.is_empty()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    User,
    Mnt,
    Pid,
    Net,
    Uts,
    Ipc,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub lab: LabFile,
    pub api_port: u16,
    pub server: ServiceStatus,
    pub nodes: BTreeMap<String, NodeStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// On the underlay, one per family.
    pub addresses: Vec<String>,
    pub agent: ServiceStatus,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// In the lab's PID namespace; `None` between two incarnations.
    pub pid: Option<i32>,
    pub restarts: u32,
    /// How the incarnation before this one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
}

/// One end of a conversation.
#[derive(Debug)]
pub struct Channel(UnixStream);

impl Channel {
    pub fn over(stream: UnixStream) -> Channel {
        Channel(stream)
    }

    /// `None` if nobody listens there.
    pub fn connect(lab: &LabDir) -> Result<Option<Channel>, ControlError> {
        let path = lab.control_socket();
        let connected = through_directory(lab, UnixStream::connect);
        match connected {
            Ok(stream) => Ok(Some(Channel(stream))),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(ControlError::Socket {
                step: "connect to",
                path,
                source,
            }),
        }
    }

    /// The PID that listens on the other side, as this process sees it.
    pub fn peer(&self) -> Result<rustix::process::Pid, ControlError> {
        let credentials = rustix::net::sockopt::socket_peercred(&self.0);
        Ok(credentials
            .map_err(|errno| exchange("identify", errno.into()))?
            .pid)
    }

    /// Asks and waits for the answer, with the descriptors that came with it.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if the supervisor says no.
    pub fn ask(mut self, request: &Request) -> Result<(Reply, Vec<OwnedFd>), ControlError> {
        self.send(request, &[])?;
        match self.receive()? {
            (Reply::Refused(why), _) => Err(ControlError::Refused(why)),
            answer => Ok(answer),
        }
    }

    pub fn send<T: Serialize>(
        &mut self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ControlError> {
        let mut line =
            serde_json::to_vec(message).map_err(|source| ControlError::Garbled { source })?;
        line.push(b'\n');
        let failed = |source| exchange("write to", source);
        self.0.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !along.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        // A peer that went away is an error here, not a SIGPIPE.
        let sent = rustix::net::sendmsg(
            &self.0,
            &[IoSlice::new(&line)],
            &mut along,
            SendFlags::NOSIGNAL,
        )
        .map_err(|errno| failed(errno.into()))?;
        self.0.write_all(&line[sent..]).map_err(failed)
    }

    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<(T, Vec<OwnedFd>), ControlError> {
        let failed = |source| exchange("hear from", source);
        self.0.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let (mut line, mut descriptors) = (Vec::new(), Vec::new());
        while line.last() != Some(&b'\n') {
            let mut chunk = [0; 16 * 1024];
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
            let mut along = RecvAncillaryBuffer::new(&mut space);
            let got = rustix::net::recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut chunk)],
                &mut along,
                RecvFlags::CMSG_CLOEXEC,
            )
            .map_err(|errno| failed(errno.into()))?;
            for message in along.drain() {
                if let RecvAncillaryMessage::ScmRights(received) = message {
                    descriptors.extend(received);
                }
            }
            if got.bytes == 0 {
                return Err(ControlError::Gone);
            }
            line.extend_from_slice(&chunk[..got.bytes]);
            if line.len() > MAX_MESSAGE_BYTES {
                return Err(failed(io::ErrorKind::FileTooLarge.into()));
            }
        }
        let message =
            serde_json::from_slice(&line).map_err(|source| ControlError::Garbled { source })?;
        Ok((message, descriptors))
    }
}

/// A handle on a node's network namespace. `None`: the lab has no such node,
/// whatever the API says.
pub fn node_network(lab: &LabDir, node: &NodeName) -> Result<Option<OwnedFd>, ControlError> {
    let channel = Channel::connect(lab)?.ok_or(ControlError::Gone)?;
    let of = Place::Node {
        name: node.to_string(),
    };
    let (reply, descriptors) = match channel.ask(&Request::Namespaces { of }) {
        Err(ControlError::Refused(_)) => return Ok(None),
        answer => answer?,
    };
    let Reply::Namespaces(kinds) = reply else {
        return Err(ControlError::Gone);
    };
    let mut all = kinds.into_iter().zip(descriptors);
    let network = all.find(|(kind, _)| *kind == NamespaceKind::Net);
    Ok(network.map(|(_, fd)| fd))
}

/// Listens on the lab's socket, in place of one that a dead PID 1 left.
pub fn listen(lab: &LabDir) -> Result<UnixListener, ControlError> {
    let path = lab.control_socket();
    let _ = std::fs::remove_file(&path);
    through_directory(lab, UnixListener::bind).map_err(|source| ControlError::Socket {
        step: "listen on",
        path,
        source,
    })
}

/// A socket's path may have 107 bytes (`sun_path`, unix(7)); a directory may
/// lie deeper than that, so the path goes through its descriptor.
fn through_directory<T>(lab: &LabDir, act: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let directory = File::open(lab.path())?;
    let number = directory.as_fd().as_raw_fd();
    act(PathBuf::from(format!(
        "/proc/self/fd/{number}/control.sock"
    )))
}

fn exchange(step: &'static str, source: io::Error) -> ControlError {
    ControlError::Exchange { step, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_arrive_with_their_message_and_long_lines_whole() {
        let (near, far) = UnixStream::pair().expect("a pair");
        let (mut near, mut far) = (Channel::over(near), Channel::over(far));
        let passed = File::open("/proc/self/ns/net").expect("a namespace");
        let writer = std::thread::spawn(move || {
            near.send(&"x".repeat(300_000), &[passed.as_fd()])
                .expect("sent");
            near
        });
        let (text, descriptors): (String, _) = far.receive().expect("received");
        assert_eq!((text.len(), descriptors.len()), (300_000, 1));
        drop(writer.join());
        let end = far.receive::<String>();
        assert!(matches!(end, Err(ControlError::Gone)), "{end:?}");
    }
}
