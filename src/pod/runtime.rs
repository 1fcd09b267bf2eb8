//! Sandboxes made of `podnet-pause` processes.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};
use tokio::net::UnixStream;
use tracing::warn;

use crate::agent::{Config, PodIdentity, PodRuntime, RuntimeError, Tending};
use crate::model::Family;

use super::find::{FoundSandbox, find_sandbox, find_sandboxes};
use super::image::Catalogue;
use super::life::Pace;
use super::logs::Shelf;
use super::plan::{NodeFacts, Policy};
use super::remove::remove_tree;
use super::worker::{self, Node};
use super::{NAME_FILE, NewPod, SOCKET, Settings, client, spawn};

const PAUSE: &str = "podnet-pause";
/// Beside podnet, or podnet itself does it.
const PROGRAMS: &str = "podnet-program";
/// The node's own tree, beside its pods, where nothing else is said.
const ROOT: &str = "rootfs";
/// Where its pods' logs are, likewise.
const LOGS: &str = "pod-logs";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// [`super::protocol::Request::Stop`].
const STOP: &[u8] = b"{\"request\":\"stop\"}\n";
/// How long a process that was sent SIGKILL may take to be gone.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// Where `podnet-pause` is: beside the running program.
pub fn pause_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(PAUSE);
    match program.is_file() {
        true => Ok(program),
        false => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{} is missing: it belongs beside podnet", program.display()),
        )),
    }
}

/// The binary that the built-in images run.
fn programs() -> io::Result<PathBuf> {
    let podnet = std::env::current_exe()?;
    let small = podnet.with_file_name(PROGRAMS);
    Ok(if small.is_file() { small } else { podnet })
}

pub struct Runtime {
    pods_dir: PathBuf,
    shelf: Shelf,
    pause: PathBuf,
    ipv6: bool,
    node: Arc<Node>,
}

pub struct PauseSandbox {
    dir: PathBuf,
    pidfd: OwnedFd,
    container_id: String,
    netns: OwnedFd,
    connection: UnixStream,
}

impl Runtime {
    /// Keeps the pods of the node that `config` describes below `pods_dir`, which is made
    /// if need be, mode 0700.
    pub fn new(pods_dir: PathBuf, config: &Config, settings: &Settings) -> io::Result<Runtime> {
        private_dir(&pods_dir)?;
        let beside = || pods_dir.with_file_name(ROOT);
        let logs = std::path::absolute(pods_dir.with_file_name(LOGS))?;
        let facts = NodeFacts {
            name: config.node.to_string(),
            addresses: config.addresses.clone(),
            policy: Policy {
                privileged: settings.allow_privileged,
                host_paths: settings.host_paths.clone(),
            },
            root: settings.node_root.clone().unwrap_or_else(beside),
            logs: logs.clone(),
            program: programs()?,
            resolv_conf: fs::read_to_string(RESOLV_CONF).unwrap_or_default(),
        };
        let node = Node {
            facts,
            catalogue: Catalogue::new(settings).map_err(io::Error::other)?,
            pace: Pace::new(settings.back_off_scale.factor()),
        };
        Ok(Runtime {
            pods_dir,
            shelf: Shelf::new(logs)?,
            pause: pause_program()?,
            ipv6: config.ranges.has(Family::V6),
            node: Arc::new(node),
        })
    }

    async fn launch(&self, dir: &Path, pod: &PodIdentity) -> io::Result<PauseSandbox> {
        private_dir(dir)?;
        fs::write(dir.join(NAME_FILE), pod.pod.to_string())?;
        self.shelf.keep(&pod.pod, &pod.uid, dir)?;
        // Of a sandbox that ended by force.
        if let Err(error) = fs::remove_file(dir.join(SOCKET))
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut child = spawn(&NewPod {
            program: &self.pause,
            dir,
            hostname: &pod.hostname,
            ipv6: self.ipv6,
            host_network: pod.host_network,
        })
        .await?;
        let found = find_sandbox(dir)
            .ok_or_else(|| io::Error::other(format!("{PAUSE} is ready and cannot be reached")))
            .and_then(|found| sandbox(dir.to_owned(), found));
        if found.is_err() {
            // Nobody would find it again. It may be dead already.
            let _ = child.kill().await;
        }
        found
    }
}

impl PodRuntime for Runtime {
    type Sandbox = PauseSandbox;

    async fn start(&self, pod: &PodIdentity) -> Result<PauseSandbox, RuntimeError> {
        let dir = self.pods_dir.join(&pod.uid);
        let launched = self.launch(&dir, pod).await;
        launched.map_err(|error| RuntimeError {
            step: "start the sandbox",
            pod: pod.pod.clone(),
            reason: error.to_string(),
        })
    }

    async fn adopt(&self) -> Vec<(PodIdentity, PauseSandbox)> {
        let found = find_sandboxes(&self.pods_dir).unwrap_or_else(|error| {
            warn!("look for pods in {}: {error}", self.pods_dir.display());
            Vec::new()
        });
        let mut adopted = Vec::new();
        for alive in found {
            let identity = PodIdentity {
                hostname: alive.pod.name.clone(),
                host_network: false,
                pod: alive.pod.clone(),
                uid: alive.uid.clone(),
            };
            match sandbox(self.pods_dir.join(&alive.uid), alive) {
                Ok(sandbox) => adopted.push((identity, sandbox)),
                Err(error) => warn!("pick up pod {}: {error}", identity.pod),
            }
        }
        adopted
    }

    fn container_id<'a>(&self, sandbox: &'a PauseSandbox) -> &'a str {
        &sandbox.container_id
    }

    fn netns<'a>(&self, sandbox: &'a PauseSandbox) -> &'a OwnedFd {
        &sandbox.netns
    }

    async fn ended(&self, sandbox: &PauseSandbox) {
        client::ended(&sandbox.connection).await;
    }

    async fn stop(&self, sandbox: &PauseSandbox, grace: Duration) {
        let asked = sandbox.connection.try_write(STOP).is_ok();
        let ended = asked
            && tokio::time::timeout(grace, self.ended(sandbox))
                .await
                .is_ok();
        if !ended {
            match pidfd_send_signal(&sandbox.pidfd, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => warn!("kill {PAUSE} {}: {errno}", sandbox.container_id),
            }
            if tokio::time::timeout(KILL_WAIT, self.ended(sandbox))
                .await
                .is_err()
            {
                warn!("{PAUSE} {} does not die", sandbox.container_id);
            }
        }
    }

    async fn tend(&self, sandbox: Arc<PauseSandbox>, tending: Tending) {
        worker::tend(Arc::clone(&self.node), sandbox.dir.clone(), tending).await;
    }

    fn clear(&self, uid: &str) {
        let dir = self.pods_dir.join(uid);
        let removed = remove_tree(&dir).map_err(|error| (dir, error));
        let stayed = self.shelf.clear(uid);
        for (path, error) in stayed.into_iter().chain(removed.err()) {
            warn!("remove {}: {error}", path.display());
        }
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.pods_dir).into_iter().flatten().flatten();
        let dirs = entries.filter_map(|entry| entry.file_name().into_string().ok());
        dirs.chain(self.shelf.uids()).collect()
    }
}

fn sandbox(dir: PathBuf, found: FoundSandbox) -> io::Result<PauseSandbox> {
    let netns = fs::File::open(format!("/proc/{}/ns/net", found.pid))?;
    found.connection.set_nonblocking(true)?;
    Ok(PauseSandbox {
        container_id: format!("{}-{}", found.uid, found.pid),
        pidfd: found.pidfd,
        netns: netns.into(),
        connection: UnixStream::from_std(found.connection)?,
        dir,
    })
}

fn private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}
