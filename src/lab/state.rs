//! One directory per lab, and what is in it.
//!
//! The directory outlives the lab's processes: API objects, keys and logs are
//! there for the next `up`. Whether the lab lives is never written down; it is
//! asked of the lock that its PID 1 alone holds, which the kernel drops with it.
//!
//! Directories are removed whole, and the root is the user's to choose: only one
//! that carries our mark, which is made first and goes last, is a lab's.

mod record;

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use thiserror::Error;

use super::topology::LabName;
use crate::model::NodeName;
use crate::pod::remove_tree;

pub use record::{FORMAT, Record};

/// For the kernel to take down what a killed PID 1 leaves.
const DYING: Duration = Duration::from_secs(20);
pub const STATE_DIR_VARIABLE: &str = "PODNET_STATE_DIR";
/// The file that makes a directory a lab's.
const MARK: &str = "podnet-lab";

#[derive(Debug, Error)]
pub enum StateError {
    #[error("cannot {step} {}", path.display())]
    File {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "{} is not a directory of ours alone; remove it or set {STATE_DIR_VARIABLE}",
        path.display()
    )]
    NotOurs { path: PathBuf },
    #[error(
        "{} is not a lab's directory, and is left alone; use another name, or another root in \
         {STATE_DIR_VARIABLE}",
        path.display()
    )]
    NotALab { path: PathBuf },
    #[error(
        "lab {name} is a stale lab of an older version: its format is {found}, written by podnet \
         {version}, and this one knows {FORMAT}; `podnet down --lab {name}` clears it"
    )]
    OtherFormat {
        name: LabName,
        found: u64,
        version: String,
    },
    #[error("lab {name} is still dying: process {pid} has not ended")]
    StillDying { name: LabName, pid: i32 },
    #[error("cannot wait for the end of process {pid}")]
    Wait { pid: i32, source: io::Error },
    #[error(
        "{} is damaged; `podnet down --lab {name}` clears the lab", path.display()
    )]
    Damaged {
        name: LabName,
        path: PathBuf,
        source: serde_json::Error,
    },
}

/// The directory of one lab, which need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabDir {
    path: PathBuf,
    name: LabName,
}

/// Held by the PID 1 of a lab for as long as it lives.
#[derive(Debug)]
pub struct LabLock(#[expect(dead_code, reason = "the lock goes when the file is closed")] File);

impl LabDir {
    pub fn new(name: &LabName) -> LabDir {
        LabDir {
            path: root().join(name.as_str()),
            name: name.clone(),
        }
    }

    /// Every lab that has a directory, by name. None if there is no root yet.
    /// What else lies in the root is passed over.
    ///
    /// # Errors
    /// [`StateError::NotOurs`] is one.
    pub fn all() -> Result<Vec<LabDir>, StateError> {
        let root = root();
        let entries = match fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(file_error("list", &root, source)),
        };
        check_ours(&root)?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut labs: Vec<LabDir> = names
            .filter_map(|name| LabName::new(&name).ok())
            .map(|name| LabDir::new(&name))
            .filter(LabDir::is_a_labs)
            .collect();
        labs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(labs)
    }

    pub fn name(&self) -> &LabName {
        &self.name
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For the user, from the host: 127.0.0.1.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    /// For what runs inside the lab: the underlay's gateway.
    pub fn kubeconfig_inside(&self) -> PathBuf {
        self.path.join("kubeconfig.inside")
    }

    pub fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    pub fn supervisor_log(&self) -> PathBuf {
        self.path.join("supervisor.log")
    }

    pub fn server_log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    pub fn store(&self) -> PathBuf {
        self.path.join("store.redb")
    }

    pub fn pki(&self) -> PathBuf {
        self.path.join("pki")
    }

    /// Has a directory for each node.
    pub fn nodes(&self) -> PathBuf {
        self.path.join("nodes")
    }

    pub fn node(&self, node: &NodeName) -> PathBuf {
        self.nodes().join(node.as_str())
    }

    pub fn node_kubeconfig(&self, node: &NodeName) -> PathBuf {
        self.node(node).join("kubeconfig")
    }

    pub fn agent_log(&self, node: &NodeName) -> PathBuf {
        self.node(node).join("agent.log")
    }

    pub fn pods(&self, node: &NodeName) -> PathBuf {
        self.node(node).join("pods")
    }

    /// What `/etc/cni/net.d` is on a machine.
    pub fn cni(&self, node: &NodeName) -> PathBuf {
        self.node(node).join("cni")
    }

    /// What hostPath volumes of the node's pods are in.
    pub fn node_root(&self, node: &NodeName) -> PathBuf {
        self.node(node).join("rootfs")
    }

    /// Loaded images, for all nodes.
    pub fn images(&self) -> PathBuf {
        self.path.join("images")
    }

    /// Names in the host's `/run/netns` that `up --export-netns` made.
    pub fn exports(&self) -> PathBuf {
        self.path.join("exports")
    }

    /// Whether there is such a lab, of this version or another.
    ///
    /// # Errors
    /// [`StateError::NotOurs`], and [`StateError::NotALab`] if something else
    /// has its place.
    pub fn exists(&self) -> Result<bool, StateError> {
        if fs::symlink_metadata(&self.path).is_err() {
            return Ok(false);
        }
        check_ours(&root())?;
        if self.is_a_labs() {
            Ok(true)
        } else {
            Err(self.not_a_lab())
        }
    }

    /// Makes the directory and its parents, 0700. Idempotent.
    ///
    /// # Errors
    /// [`StateError::NotOurs`] if the root belongs to somebody else or others may
    /// write to it; [`StateError::NotALab`] if the directory is there, with
    /// something else in it.
    pub fn create(&self) -> Result<(), StateError> {
        let root = root();
        make_private_dir(&root)?;
        check_ours(&root)?;
        make_private_dir(&self.path)?;
        let mut entries =
            fs::read_dir(&self.path).map_err(|source| file_error("list", &self.path, source))?;
        // In this order: another `up` may be filling it at this moment.
        if entries.next().is_some() && !self.is_a_labs() {
            return Err(self.not_a_lab());
        }
        let mark = self.path.join(MARK);
        fs::write(&mark, "").map_err(|source| file_error("make", &mark, source))
    }

    /// Whether a PID 1 of this lab lives. Asking takes nothing that a starting
    /// one could miss.
    pub fn is_live(&self) -> Result<bool, StateError> {
        let path = self.lock_path();
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(file_error("open", &path, source)),
        };
        let mut probe = whole_file_lock();
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut probe))
            .map_err(|errno| file_error("ask for the lock on", &path, errno.into()))?;
        Ok(i32::from(probe.l_type) != libc::F_UNLCK)
    }

    /// Waits until the last of a lab that is no longer live is gone.
    ///
    /// # Errors
    /// [`StateError::StillDying`] if that takes too long.
    pub fn wait_gone(&self) -> Result<(), StateError> {
        // What cannot be read says nothing about processes either.
        let Ok(Some(record)) = self.record() else {
            return Ok(());
        };
        let pid = record.init.pid;
        match record.init.wait_gone(DYING) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StateError::StillDying {
                name: self.name.clone(),
                pid,
            }),
            Err(source) => Err(StateError::Wait { pid, source }),
        }
    }

    /// `None` if another PID 1 has it.
    pub fn lock(&self) -> Result<Option<LabLock>, StateError> {
        let path = self.lock_path();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| file_error("open", &path, source))?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file_lock())) {
            Ok(_) => Ok(Some(LabLock(file))),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(errno) => Err(file_error("lock", &path, errno.into())),
        }
    }

    /// The mark goes last, so that what is left of a removal that fails can be
    /// removed later. Idempotent.
    ///
    /// # Errors
    /// As [`LabDir::exists`].
    pub fn remove(&self) -> Result<(), StateError> {
        if !self.exists()? {
            return Ok(());
        }
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(file_error("list", &self.path, source)),
        };
        for entry in entries.flatten().filter(|entry| entry.file_name() != MARK) {
            take_away(&entry.path())?;
        }
        take_away(&self.path)
    }

    /// Idempotent.
    pub fn remove_node(&self, node: &NodeName) -> Result<(), StateError> {
        take_away(&self.node(node))
    }

    fn is_a_labs(&self) -> bool {
        let is_dir = fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_dir());
        // Labs that were made before there was a mark have a record.
        is_dir && (self.path.join(MARK).exists() || self.record_path().exists())
    }

    fn not_a_lab(&self) -> StateError {
        StateError::NotALab {
            path: self.path.clone(),
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join("lock")
    }
}

/// Where the labs' directories are.
pub fn root() -> PathBuf {
    if let Some(dir) = env::var_os(STATE_DIR_VARIABLE).filter(|dir| !dir.is_empty()) {
        return PathBuf::from(dir);
    }
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return PathBuf::from("/run/podnet");
    }
    match env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir).join("podnet"),
        None => PathBuf::from(format!("/tmp/podnet-{uid}")),
    }
}

/// Nobody else may put something where we look for our own.
fn check_ours(root: &Path) -> Result<(), StateError> {
    let metadata = fs::metadata(root).map_err(|e| file_error("look at", root, e))?;
    let writable_by_others = metadata.mode() & 0o022 != 0;
    if metadata.uid() != nix::unistd::geteuid().as_raw() || writable_by_others {
        return Err(StateError::NotOurs {
            path: root.to_owned(),
        });
    }
    Ok(())
}

/// Makes `path` and what is missing above it, 0700. Idempotent.
pub fn make_private_dir(path: &Path) -> Result<(), StateError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| file_error("make", path, source))
}

fn take_away(path: &Path) -> Result<(), StateError> {
    remove_tree(path).map_err(|source| file_error("remove", path, source))
}

/// An open file description's lock (fcntl(2)) and not flock(2): only the
/// former can be asked about without taking it.
fn whole_file_lock() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn file_error(step: &'static str, path: &Path, source: io::Error) -> StateError {
    StateError::File {
        step,
        path: path.to_owned(),
        source,
    }
}
