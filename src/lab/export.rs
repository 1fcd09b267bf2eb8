//! Node namespaces by name in the host's `/run/netns`, for `ip netns exec`.
//!
//! The one thing a lab may leave on a host, and only if root asked for it: a
//! name there keeps its namespace alive. Which names are ours is written down
//! in the lab's directory before they are made, and only those are taken away.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use thiserror::Error;

use super::control::{ControlError, node_network};
use super::state::LabDir;
use crate::model::NodeName;

const NAMED: &str = "/run/netns";

#[derive(Debug, Error)]
pub enum ExportError {
    #[error("--export-netns names namespaces in {NAMED}, which only root can")]
    NotRoot,
    #[error("cannot {step} {}", path.display())]
    File {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot name the namespace of node {node} {}", path.display())]
    Mount {
        node: NodeName,
        path: PathBuf,
        source: Errno,
    },
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// Refuses whoever cannot export, before anything is started for him.
pub fn check_allowed() -> Result<(), ExportError> {
    if nix::unistd::geteuid().is_root() {
        Ok(())
    } else {
        Err(ExportError::NotRoot)
    }
}

/// Names the namespaces of `nodes` `LAB-NODE`. Names of an earlier export go
/// first.
pub fn publish(lab: &LabDir, nodes: &[NodeName]) -> Result<Vec<PathBuf>, ExportError> {
    withdraw(lab);
    fs::create_dir_all(NAMED).map_err(file_error("make", Path::new(NAMED)))?;
    let mut made = Vec::with_capacity(nodes.len());
    for node in nodes {
        let path = name_of(lab, node.as_str());
        write_down(lab, &path)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(file_error("make", &path))?;
        let namespace = node_network(lab, node)?.ok_or(ControlError::Gone)?;
        let source = format!("/proc/self/fd/{}", namespace.as_raw_fd());
        const NOTHING: Option<&str> = None;
        mount(
            Some(source.as_str()),
            &path,
            NOTHING,
            MsFlags::MS_BIND,
            NOTHING,
        )
        .map_err(|source| ExportError::Mount {
            node: node.clone(),
            path: path.clone(),
            source,
        })?;
        made.push(path);
    }
    Ok(made)
}

/// Takes away every name that was written down. Goes on where one fails: it
/// may be gone already, or never have been made.
pub fn withdraw(lab: &LabDir) {
    withdraw_where(lab, |_| true);
}

/// Takes away the names of nodes that left.
pub fn withdraw_nodes(lab: &LabDir, nodes: &[String]) {
    let names: Vec<PathBuf> = nodes.iter().map(|node| name_of(lab, node)).collect();
    withdraw_where(lab, |path| names.iter().any(|name| name == path));
}

fn withdraw_where(lab: &LabDir, leaves: impl Fn(&Path) -> bool) {
    let Ok(text) = fs::read_to_string(lab.exports()) else {
        return;
    };
    let mut stay = String::new();
    for line in text.lines() {
        let path = Path::new(line);
        if !leaves(path) {
            stay.push_str(line);
            stay.push('\n');
        } else if path.parent() == Some(Path::new(NAMED)) {
            let _ = umount2(path, MntFlags::MNT_DETACH);
            let _ = fs::remove_file(path);
        }
    }
    // The directory itself goes with the lab; a list too long does no harm.
    let _ = fs::write(lab.exports(), stay);
}

fn name_of(lab: &LabDir, node: &str) -> PathBuf {
    PathBuf::from(format!("{NAMED}/{}-{node}", lab.name()))
}

fn write_down(lab: &LabDir, path: &Path) -> Result<(), ExportError> {
    let list = lab.exports();
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(&list)
        .and_then(|mut file| writeln!(file, "{}", path.display()))
        .map_err(file_error("write", &list))
}

fn file_error<'a>(
    step: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ExportError + use<'a> {
    move |source| ExportError::File {
        step,
        path: path.to_owned(),
        source,
    }
}
