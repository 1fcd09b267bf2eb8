//! Starting what a lab runs: the API server and the agents.
//!
//! Only the supervisor's loop starts processes, one after the other, so that a
//! descriptor made inheritable for one child is never seen by another.

use std::env;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ipnetwork::IpNetwork;
use nix::unistd::Pid;
use rustix::io::FdFlags;

use crate::lab::state::{self, LabDir};
use crate::lab::topology::{Lab, NodeSpec};
use crate::pod::kubelet::SOCKET;

use super::SupervisorError;
use super::site::Site;

/// For tests; see [`super`].
const RESYNC_VARIABLE: &str = "PODNET_RESYNC_SECONDS";

/// Starts a server on `listeners`, which stay open here: what connects while
/// none runs waits for the next.
pub fn server(
    binary: &Path,
    dir: &LabDir,
    listeners: &[TcpListener],
) -> Result<Pid, SupervisorError> {
    let failed = |source| SupervisorError::Start {
        what: "the API server".to_owned(),
        source,
    };
    let mut command = Command::new(binary);
    command
        .args([Path::new("server"), Path::new("--store"), &dir.store()])
        .args([Path::new("--pki"), &dir.pki()])
        .args([Path::new("--nodes-dir"), &dir.nodes()]);
    let mut inherited: Vec<OwnedFd> = Vec::with_capacity(listeners.len());
    for listener in listeners {
        let copy = rustix::io::dup(listener).map_err(|errno| failed(errno.into()))?;
        rustix::io::fcntl_setfd(&copy, FdFlags::empty()).map_err(|errno| failed(errno.into()))?;
        command.args(["--listen-fd", &copy.as_raw_fd().to_string()]);
        inherited.push(copy);
    }
    logged(&mut command, &dir.server_log()).map_err(failed)?;
    let child = command.spawn().map_err(failed)?;
    drop(inherited);
    pid(child.id()).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
}

/// Starts the node's agent inside the node.
pub fn agent(
    binary: &Path,
    dir: &LabDir,
    lab: &Lab,
    node: &NodeSpec,
    site: &Site,
) -> Result<Pid, SupervisorError> {
    let failed = |source| SupervisorError::Start {
        what: format!("the agent of node {}", node.name),
        source,
    };
    let pools = lab.ranges.pools();
    let mut command = Command::new(binary);
    command
        .args(["agent", "--node-name", node.name.as_str()])
        .args([Path::new("--kubeconfig"), &dir.node_kubeconfig(&node.name)])
        .args(["--cluster-cidr", &listed(pools.iter().map(|p| p.range()))])
        .args([
            "--node-mask",
            &listed(pools.iter().map(|p| p.node_prefix())),
        ])
        .args([
            "--node-ip",
            &listed(site.addresses.iter().map(IpNetwork::ip)),
        ])
        .args([Path::new("--pods-dir"), &dir.pods(&node.name)])
        .args([Path::new("--cni-conf-dir"), &dir.cni(&node.name)])
        .args([Path::new("--socket"), &dir.node(&node.name).join(SOCKET)])
        .arg("--static-neighbours");
    pod_settings(&mut command, dir, lab, node);
    for (key, value) in &node.labels {
        command.args(["--node-label", &format!("{key}={value}")]);
    }
    if let Some(seconds) = env::var_os(RESYNC_VARIABLE).filter(|text| !text.is_empty()) {
        command.arg("--resync").arg(seconds);
    }
    logged(&mut command, &dir.agent_log(&node.name)).map_err(failed)?;
    let child = site.inside(|| command.spawn())?.map_err(failed)?;
    pid(child.id()).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
}

/// See [`crate::pod::Settings`]. No container sees the labs' own directories.
fn pod_settings(command: &mut Command, dir: &LabDir, lab: &Lab, node: &NodeSpec) {
    let settings = &lab.pods;
    command
        .args([Path::new("--images-dir"), &dir.images()])
        .args([Path::new("--node-root"), &dir.node_root(&node.name)])
        .args([Path::new("--hide"), &state::root()])
        .args(["--back-off-scale", &settings.back_off_scale.to_string()]);
    for image in settings.named_images() {
        command.args(["--image", &image]);
    }
    for path in &settings.host_paths {
        command.arg("--host-path").arg(path);
    }
    if settings.allow_privileged {
        command.arg("--allow-privileged");
    }
}

/// The running binary. What a rebuild put in its place counts, not its ghost.
pub fn binary() -> io::Result<PathBuf> {
    let path = env::current_exe()?;
    match path
        .to_str()
        .and_then(|text| text.strip_suffix(" (deleted)"))
    {
        Some(replaced) => Ok(PathBuf::from(replaced)),
        None => Ok(path),
    }
}

fn logged(command: &mut Command, log: &Path) -> io::Result<()> {
    let log: File = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log)?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(())
}

fn listed<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(",")
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().map(Pid::from_raw)
}
