//! What an agent and `podnet-pause` say to each other over the pod's socket.
//!
//! A stream of JSON documents, one per line, both ways; at most
//! [`MAX_LINE`] bytes each. Descriptors travel with the line that
//! needs them (`SCM_RIGHTS`, unix(7)). Each request is answered by one reply, in
//! order. A connection ends when podnet-pause does, so whoever holds one sees
//! the end of the pod.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::bundle::Bundle;

pub const MAX_LINE: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "camelCase")]
pub enum Request {
    /// Every [`Container`] now, as [`Reply::Containers`]; then, on this connection,
    /// each as it changes, as [`Reply::Changed`].
    Watch,
    /// A tmpfs that all containers of the pod can mount, at a path in the pod's
    /// directory. Idempotent.
    Tmpfs {
        path: PathBuf,
        size_bytes: Option<u64>,
    },
    /// Answered with [`Reply::Started`] once the program runs (execve succeeded).
    /// A container of that name that has ended is replaced.
    Start { bundle: Box<Bundle> },
    /// To the container's first process.
    Signal { container: String, signal: i32 },
    /// Runs a program in a container that runs, as its user and with its
    /// environment, confined as it is. Descriptors: standard input, output
    /// and error, or, with `tty`, none: then the reply brings the terminal. When the
    /// program ends, [`Reply::Exited`] follows on this connection. It is killed if
    /// this connection ends before.
    Exec {
        container: String,
        argv: Vec<String>,
        tty: bool,
    },
    /// From now on the container's output goes to these descriptors too, until it
    /// ends or they cannot be written to. Descriptors: standard input (if `stdin`), output,
    /// and, for a container without a terminal, error. When the container ends,
    /// [`Reply::Exited`] follows. For a container with a terminal the reply brings a copy
    /// of it, for its size.
    Attach { container: String, stdin: bool },
    /// A TCP connection to `port` on the pod's loopback (127.0.0.1, else ::1); the reply brings it.
    Connect { port: u16 },
    /// Ends every container, by SIGKILL, and the pod.
    Stop,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "camelCase")]
pub enum Reply {
    Done,
    Containers {
        containers: Vec<Container>,
    },
    Changed {
        container: Container,
    },
    /// In the pod's PID namespace; with a terminal, its descriptor comes along.
    Started {
        pid: i32,
        at: Timestamp,
    },
    Connected,
    Exited {
        ended: Ended,
    },
    Refused {
        refusal: Refusal,
        why: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Refusal {
    /// No container of that name runs.
    NotRunning,
    /// One of that name runs already.
    Running,
    /// The program is not in the container.
    NoSuchProgram,
    /// Nobody listens on that port.
    ConnectionRefused,
    /// Anything else; `why` names the step that failed.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    pub name: String,
    pub attempt: u32,
    /// In the pod's PID namespace.
    pub pid: i32,
    pub started_at: Timestamp,
    /// `None`: it runs.
    pub ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// As shells report it: 128 + the signal for what a signal ended.
    pub exit_code: i32,
    pub signal: Option<i32>,
    pub at: Timestamp,
}
