//! What one container is to be: everything that its start needs, decided
//! before, as data.
//!
//! Whoever plans a container writes one of these, and `podnet-pause` carries it
//! out without asking anybody. What a container may do can be read off it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The container's name in its pod.
    pub name: String,
    /// How often it was started before.
    pub attempt: u32,
    pub process: Process,
    pub root: Root,
    /// Made in this order, over the root and over what podnet-pause mounts in
    /// every container (`/proc`, `/sys`, `/dev`).
    pub mounts: Vec<Mount>,
    pub pids: PidNamespace,
    pub streams: Streams,
    /// Where its output goes, in the pod's directory.
    pub log: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Never empty. A first word without a `/` is looked for in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// `KEY=VALUE`; the last of a key counts.
    pub env: Vec<String>,
    /// In the container; made if it is not there.
    pub cwd: PathBuf,
    pub user: User,
    /// What it may at most have: bit n is capability n (capability.h). A user other
    /// than root starts with none in effect.
    pub capabilities: u64,
    /// prctl(2), `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Directories that lie over each other, the uppermost first, below a private
    /// layer that takes what is written and goes with the container.
    pub layers: Vec<PathBuf>,
    /// Directories of the layers that are replaced by empty ones, and files by
    /// empty files. What is not there is passed over.
    pub hidden: Vec<PathBuf>,
    pub read_only: bool,
    /// Paths below `/proc` and `/sys` that cannot be read.
    pub masked: Vec<PathBuf>,
    /// Paths below `/proc` that cannot be written.
    pub read_only_paths: Vec<PathBuf>,
}

/// A file or directory of the machine, seen in the container. Device files in it
/// are dead (mount(2), `MS_NODEV`), as in the container's root: there is no other
/// limit on the devices that a root process may make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, outside; or, for what is in the pod's own directory, relative to it.
    /// Nothing that runs in a container can put a link in its place.
    pub source: PathBuf,
    /// What of `source`; empty for all of it. Containers may have written there, so it
    /// is looked up as if `source` were the root (openat2(2), `RESOLVE_IN_ROOT`); made,
    /// as a directory, if it is not there.
    pub below: PathBuf,
    /// Absolute, in the container; made if it is not there, and never looked up
    /// through a link that leads out of the container's root.
    pub target: PathBuf,
    pub read_only: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidNamespace {
    /// The container's first process is process 1.
    #[default]
    Own,
    /// The pod's: podnet-pause is process 1 (`shareProcessNamespace`).
    Pod,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// A standard input that [`super::protocol::Request::Attach`] reaches, else /dev/null.
    pub stdin: bool,
    /// The standard input ends with the first who attaches to it.
    pub stdin_once: bool,
    pub tty: bool,
}
