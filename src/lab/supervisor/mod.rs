//! PID 1 of a lab: it builds the underlay and the nodes, starts the API server
//! and an agent per node, and starts again what dies.
//!
//! Invariants: one thread, the loop in [`Supervisor::run`], owns all state and
//! has all effects; it consumes one [`Event`] at a time. It reaps every child, its
//! own and those that were orphaned anywhere in the lab, for it is their init.
//! It holds no orderly shutdown: when it ends, for whatever reason, the kernel
//! takes every process, and with the last of them every namespace and link.
//!
//! One knob for tests: `PODNET_RESYNC_SECONDS` in the environment of `up` goes to
//! the lab's agents as `--resync`, so that a test can put their regular look out
//! of reach and see what news alone brings about.

mod events;
mod identity;
mod leaving;
mod nodes;
mod requests;
mod service;
mod site;
mod spawn;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};
use thiserror::Error;

use super::control::{self, Changes, Channel, ControlError, Request};
use super::init::Init;
use super::state::{FORMAT, LabDir, LabLock, Record, StateError};
use super::topology::{Lab, LabName, TopologyError};
use crate::agent::EXIT_NODE_DELETED;
use crate::cluster::pki::PkiError;
use crate::model::NodeName;

use events::Event;
use identity::Identities;
use leaving::Remains;
use nodes::Node;
use service::Service;
use site::SiteError;

/// When nothing is due. The length does not matter; there is always a next look.
const IDLE: Duration = Duration::from_secs(3600);

#[derive(Debug, Error)]
pub enum SupervisorError {
    #[error("another `podnet up` is starting lab {0}; wait for it")]
    Contended(LabName),
    #[error("the first request on the boot channel was not to boot")]
    NotBooting,
    #[error("cannot find podnet's own binary")]
    Binary { source: io::Error },
    #[error("cannot listen on {address} in the underlay")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("cannot write {}", path.display())]
    Kubeconfig { path: PathBuf, source: io::Error },
    #[error("cannot start {what}")]
    Start { what: String, source: io::Error },
    #[error("cannot receive events")]
    Events { source: io::Error },
    #[error("cannot wait for children")]
    Reap { source: Errno },
    #[error("there is no node {0} in this lab")]
    NoSuchNode(NodeName),
    #[error(
        "node {0} is still being cleared away; the lab's supervisor.log says what is in the way"
    )]
    StillLeaving(NodeName),
    #[error("cannot find the pods of node {node}")]
    Pods { node: NodeName, source: io::Error },
    #[error("there is no node of that name and no running pod {0} in this lab")]
    NoSuchPod(crate::model::PodName),
    #[error("cannot open a namespace")]
    Namespace { source: io::Error },
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error(transparent)]
    Site(#[from] SiteError),
}

pub struct Supervisor {
    dir: LabDir,
    lab: Lab,
    nodes: BTreeMap<NodeName, Node>,
    /// Of nodes that are not in the lab now too, so that a resumed lab finds
    /// its nodes where they were.
    positions: BTreeMap<NodeName, u32>,
    remains: Vec<Remains>,
    server: Service,
    listeners: Vec<TcpListener>,
    identities: Identities,
    binary: PathBuf,
    events: Receiver<Event>,
    init: Init,
    _lock: LabLock,
}

/// Builds the lab that the other end of `channel` asks for. The caller must be
/// PID 1 in namespaces of its own, `init` on the host, and have no other thread.
pub fn boot(
    dir: &LabDir,
    channel: &mut Channel,
    api: TcpListener,
    init: Init,
) -> Result<(Supervisor, Changes), SupervisorError> {
    let (Request::Boot { lab }, _) = channel.receive()? else {
        return Err(SupervisorError::NotBooting);
    };
    let mut lab = Lab::resolve(&lab)?;
    let lock = dir
        .lock()?
        .ok_or_else(|| SupervisorError::Contended(lab.name.clone()))?;
    let address = api
        .local_addr()
        .map_err(|source| SupervisorError::Events { source })?;
    lab.api_port = address.port();
    let before = dir.record()?;
    site::build_underlay(&lab)?;
    let mut listeners = underlay_listeners(&lab)?;
    listeners.push(api);
    let wanted = std::mem::take(&mut lab.nodes);
    let mut supervisor = Supervisor {
        identities: Identities::prepare(dir, &lab, lab.api_port)?,
        nodes: BTreeMap::new(),
        positions: before.as_ref().map(nodes::positions).unwrap_or_default(),
        remains: Vec::new(),
        server: Service::new(Instant::now()),
        listeners,
        binary: spawn::binary().map_err(|source| SupervisorError::Binary { source })?,
        events: events::sources(control::listen(dir)?)
            .map_err(|source| SupervisorError::Events { source })?,
        dir: dir.clone(),
        lab,
        init,
        _lock: lock,
    };
    supervisor.start_server()?;
    supervisor.converge(wanted)?;
    let changes = nodes::changes_since(before.as_ref(), &supervisor.lab);
    Ok((supervisor, changes))
}

impl Supervisor {
    /// Until somebody says stop.
    pub fn run(mut self) -> Result<(), SupervisorError> {
        loop {
            let patience = self.next_due().saturating_duration_since(Instant::now());
            match self.events.recv_timeout(patience) {
                Ok(Event::ChildExited) => self.reap()?,
                Ok(Event::Asked(question)) => {
                    if matches!(question.request, Request::Stop) {
                        return Ok(());
                    }
                    self.answer(*question);
                }
                Ok(Event::Stop) => return Ok(()),
                Ok(Event::Broken(source)) => return Err(SupervisorError::Events { source }),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.do_due();
        }
    }

    /// What the lab's directory has to remember of it.
    fn record(&self) -> Record {
        let position = |(name, position): (&NodeName, &u32)| (name.to_string(), *position);
        Record {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_port: self.lab.api_port,
            lab: self.lab.to_file(),
            init: self.init,
            positions: self.positions.iter().map(position).collect(),
        }
    }

    fn next_due(&self) -> Instant {
        let agents = self.nodes.values().map(|node| &node.agent);
        agents
            .chain([&self.server])
            .filter_map(Service::due)
            .chain(self.remains.iter().map(Remains::due))
            .min()
            .unwrap_or_else(|| Instant::now() + IDLE)
    }

    /// Clears away and starts what is due. A start that fails counts as an end: it is tried
    /// again, later and later.
    fn do_due(&mut self) {
        self.clear_remains();
        let now = Instant::now();
        if self.server.is_due(now)
            && let Err(error) = self.start_server()
        {
            tracing::error!("{}", super::chain(&error));
            self.server.ended(super::chain(&error), now);
        }
        let due: Vec<NodeName> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.agent.is_due(now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            if let Err(error) = self.start_agent(&name) {
                tracing::error!("{}", super::chain(&error));
                if let Some(node) = self.nodes.get_mut(&name) {
                    node.agent.ended(super::chain(&error), now);
                }
            }
        }
    }

    fn start_server(&mut self) -> Result<(), SupervisorError> {
        let pid = spawn::server(&self.binary, &self.dir, &self.listeners)?;
        self.server.started(pid, Instant::now());
        Ok(())
    }

    fn start_agent(&mut self, name: &NodeName) -> Result<(), SupervisorError> {
        let Some(node) = self.nodes.get_mut(name) else {
            return Ok(());
        };
        let pid = spawn::agent(&self.binary, &self.dir, &self.lab, &node.spec, &node.site)?;
        node.agent.started(pid, Instant::now());
        Ok(())
    }

    fn reap(&mut self) -> Result<(), SupervisorError> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Ok(Some((pid, status))) => {
                    self.child_ended(Pid::from_raw(pid.as_raw_pid()), status);
                }
                Err(Errno::INTR) => {}
                Err(source) => return Err(SupervisorError::Reap { source }),
            }
        }
    }

    fn child_ended(&mut self, pid: Pid, status: WaitStatus) {
        let (now, how) = (Instant::now(), service::describe(status));
        if self.server.pid() == Some(pid) {
            tracing::warn!(%how, "the API server ended");
            self.server.ended(how, now);
            return;
        }
        let mut nodes = self.nodes.iter_mut();
        let Some((name, node)) = nodes.find(|(_, node)| node.agent.pid() == Some(pid)) else {
            // Some process of a pod, or an agent of a node that is gone.
            return;
        };
        let name = name.clone();
        tracing::warn!(node = %name, %how, "the agent ended");
        node.agent.ended(how, now);
        let node_deleted = i32::from(EXIT_NODE_DELETED);
        if status.exit_status() == Some(node_deleted) {
            tracing::info!(node = %name, "the Node object was deleted; the node goes");
            if let Err(error) = self.remove_node(&name) {
                tracing::error!("{}", super::chain(&error));
            }
        }
    }
}

fn underlay_listeners(lab: &Lab) -> Result<Vec<TcpListener>, SupervisorError> {
    let gateways = lab.underlay.gateways();
    let addresses = gateways
        .iter()
        .map(|gateway| SocketAddr::new(gateway.ip(), identity::API_PORT));
    addresses
        .map(|address| {
            TcpListener::bind(address).map_err(|source| SupervisorError::Listen { address, source })
        })
        .collect()
}
