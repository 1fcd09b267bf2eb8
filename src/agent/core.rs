//! The event loop: one task, all the state.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::cluster::{
    Change, Health, NodeView, Reach, Recorder, Registration, back_off, recorder, watch_nodes,
    watch_pods,
};
use crate::kernel::linux::{Linux, Monitor};
use crate::model::NodeCidrs;
use crate::plan::{BRIDGE_NAME, Observed};

use super::config::Config;
use super::conflist::Conflist;
use super::event::Event;
use super::fabric::Fabric;
use super::jobs::Jobs;
use super::membership::{self, Membership, join, peers};
use super::pods::{Phase, Pods};
use super::runtime::{PodRuntime, Reported};
use super::standing::{Role, Standing};
use super::{AgentError, EXIT_NODE_DELETED};

/// The kernel is looked at no more often than this, however much it changes.
const LOOK_GAP: Duration = Duration::from_millis(100);
/// After a refusal the plan is made anew this soon.
pub(super) const RETRY_LOOK: Duration = Duration::from_secs(1);
/// Reports on containers that may wait to be seen; who has more waits.
const REPORTS: usize = 64;
/// Dead links are reaped when there are this many, or at the next quiet look.
const REAP_BATCH: usize = 100;

pub async fn run<R: PodRuntime>(
    client: Client,
    config: Config,
    runtime: Option<R>,
) -> Result<ExitCode, AgentError> {
    let fabric = Fabric::new(
        Linux::open()?,
        BRIDGE_NAME,
        config.addresses.clone(),
        config.static_neighbours,
    );
    let ours = Registration {
        name: config.node.clone(),
        labels: config.labels.clone(),
        addresses: config.addresses.clone(),
        mac: fabric.observe()?.uplink.and_then(|uplink| uplink.mac),
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let reach = Reach::default();
    let Membership { uid, cidrs } = tokio::select! {
        joined = join(&client, &config, &ours, &reach) => joined?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
    };
    let mut adopted = BTreeMap::new();
    if let Some(runtime) = &runtime {
        for (identity, sandbox) in runtime.adopt().await {
            adopted.insert(identity.uid, (identity.pod, Arc::new(sandbox)));
        }
    }
    if !adopted.is_empty() {
        info!("found {} pods of an earlier agent", adopted.len());
    }
    let role = match &runtime {
        Some(_) => Role::Kubelet,
        None => Role::Network,
    };
    let (events, writing) = recorder(client.clone(), config.node.clone(), reach.clone());
    let (reports, reported) = mpsc::channel(REPORTS);
    let agent = Agent {
        events,
        reports,
        standing: Standing::new(client.clone(), ours, role),
        jobs: Jobs::new(
            client.clone(),
            reach.clone(),
            runtime.map(Arc::new),
            cidrs.clone(),
        )?,
        pods: Pods::new(adopted),
        client,
        reach,
        uid: uid.into(),
        cidrs,
        fabric,
        nodes: BTreeMap::new(),
        listing: None,
        listed: false,
        conflist: config.cni_conf_dir.clone().map(|dir| {
            let shared = config.pods_dir.is_some();
            Conflist::new(dir, shared)
        }),
        look_at: Some(Instant::now()),
        looked_at: Instant::now(),
        refusals: 0,
        mend_at: Instant::now() + config.resync,
        config,
        observed: None,
    };
    agent.run(terminate, reported, writing).await
}

pub(super) struct Agent<R: PodRuntime> {
    pub(super) config: Config,
    pub(super) client: Client,
    pub(super) reach: Reach,
    uid: Arc<str>,
    pub(super) cidrs: NodeCidrs,
    fabric: Fabric,
    nodes: BTreeMap<String, NodeView>,
    /// Nodes of a listing that is not complete yet.
    listing: Option<BTreeMap<String, NodeView>>,
    /// Whether all nodes were seen once.
    listed: bool,
    pub(super) pods: Pods<R::Sandbox>,
    pub(super) jobs: Jobs<R>,
    pub(super) events: Recorder,
    /// For those who tend containers.
    pub(super) reports: mpsc::Sender<Reported>,
    standing: Standing,
    /// `None`: no container runtime is told of this node.
    conflist: Option<Conflist>,
    look_at: Option<Instant>,
    looked_at: Instant,
    /// Looks in a row at which the kernel refused something.
    refusals: u32,
    /// When every pod's own side is to be set right again.
    mend_at: Instant,
    pub(super) observed: Option<Observed>,
}

/// Whether to go on.
enum Outcome {
    Continue,
    Deleted,
    Stop,
}

impl<R: PodRuntime> Agent<R> {
    async fn run(
        mut self,
        mut terminate: tokio::signal::unix::Signal,
        mut reported: mpsc::Receiver<Reported>,
        writing: impl Future<Output = ()>,
    ) -> Result<ExitCode, AgentError> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut monitor = Monitor::open()?;
        let mut regained = self.reach.regained();
        let mut nodes = std::pin::pin!(watch_nodes(&self.client, &self.reach));
        let mut pods = std::pin::pin!(match self.jobs.runs_pods() {
            true => watch_pods(&self.client, &self.config.node, &self.reach).left_stream(),
            false => futures::stream::pending().right_stream(),
        });
        // Where somebody else runs the pods, that one's kubelet keeps the node alive.
        let mut alive = std::pin::pin!(match self.jobs.runs_pods() {
            true => membership::keep_alive(
                self.client.clone(),
                self.config.node.clone(),
                Arc::clone(&self.uid),
                self.reach.clone(),
            )
            .left_future(),
            false => std::future::pending().right_future(),
        });
        let mut writing = std::pin::pin!(writing);
        loop {
            let due = self.due();
            let event = tokio::select! {
                Some(change) = nodes.next() => Event::Node(change),
                Some(change) = pods.next() => Event::Pod(change),
                Some(job) = self.jobs.next() => Event::Job(job.map_err(AgentError::Job)?),
                Some(told) = self.standing.written() => Event::Told(told.map_err(AgentError::Job)?),
                changed = monitor.changed() => {
                    changed?;
                    Event::Kernel
                }
                () = regained.next() => Event::Reached,
                () = tokio::time::sleep_until(due) => Event::Tick,
                Some(reported) = reported.recv() => Event::Containers(reported),
                () = &mut alive => Event::Stop,
                () = &mut writing => Event::Stop,
                _ = terminate.recv() => Event::Stop,
                _ = interrupt.recv() => Event::Stop,
            };
            match self.handle(event)? {
                Outcome::Continue => {}
                Outcome::Stop => return Ok(ExitCode::SUCCESS),
                Outcome::Deleted => return self.withdraw().await,
            }
        }
    }

    fn due(&self) -> Instant {
        let resync = (self.looked_at + self.config.resync).min(self.mend_at);
        self.look_at.map_or(resync, |at| at.min(resync))
    }

    fn handle(&mut self, event: Event<R::Sandbox>) -> Result<Outcome, AgentError> {
        match event {
            Event::Node(change) => return self.on_node(change),
            Event::Pod(change) => self.on_pod(change),
            Event::Job(job) => self.on_job(job),
            Event::Containers(reported) => self.on_containers(reported),
            Event::Kernel => self.look_soon(Duration::ZERO),
            Event::Tick => self.on_tick(),
            Event::Told(told) => {
                let noted = self.standing.note(told);
                self.reach.note(&noted);
                if noted.is_err() {
                    self.look_soon(self.standing.pause());
                }
            }
            Event::Reached => {
                self.forget_report_failures();
                self.look_soon(Duration::ZERO);
            }
            Event::Stop => return Ok(Outcome::Stop),
        }
        Ok(Outcome::Continue)
    }

    fn on_node(&mut self, change: Change<NodeView>) -> Result<Outcome, AgentError> {
        match change {
            Change::Listing => self.listing = Some(BTreeMap::new()),
            Change::Found(node) => {
                self.listing
                    .get_or_insert_default()
                    .insert(node.uid.clone(), node);
            }
            Change::Listed => {
                self.nodes = self.listing.take().unwrap_or_default();
                if let Some(own) = self.nodes.get(&*self.uid) {
                    self.standing.check(own.ready);
                }
                self.listed = true;
                self.look_soon(Duration::ZERO);
            }
            Change::Set(node) => {
                if *node.uid == *self.uid {
                    self.standing.check(node.ready);
                }
                let routed = |n: &NodeView| (n.cidrs.clone(), n.addresses.clone(), n.mac);
                let before = self.nodes.insert(node.uid.clone(), node.clone());
                if before.as_ref().map(routed) != Some(routed(&node)) {
                    self.look_soon(Duration::ZERO);
                }
            }
            Change::Gone(uid) => {
                self.nodes.remove(&uid);
                self.look_soon(Duration::ZERO);
            }
        }
        if !self.listed || self.listing.is_some() || self.nodes.contains_key(&*self.uid) {
            return Ok(Outcome::Continue);
        }
        let name = &self.config.node;
        match self.nodes.values().any(|node| node.name == *name) {
            true => Err(AgentError::Replaced(name.clone())),
            false => Ok(Outcome::Deleted),
        }
    }

    pub(super) fn look_soon(&mut self, pause: Duration) {
        let at = (Instant::now() + pause).max(self.looked_at + LOOK_GAP);
        self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        if self.mend_at <= now {
            self.mend_at = now + self.config.resync;
            self.mend_pods();
        }
        if self.look_at.is_none_or(|at| at <= now) {
            self.look();
        }
    }

    /// Observe, plan, apply; then see to what the plan does not cover.
    fn look(&mut self) {
        self.look_at = None;
        self.looked_at = Instant::now();
        if !self.listed {
            return;
        }
        let peers = peers(self.nodes.values(), &self.config);
        let now = std::time::Instant::now();
        let pass = self
            .fabric
            .reconcile(&self.config.node, &self.cidrs, &peers, now);
        let health = match pass {
            Ok(pass) => {
                self.note_refusal(pass.failed.is_some());
                self.reap(&pass.observed);
                self.plug_in_again(&pass.observed);
                if pass.observed.ports.values().any(|port| port.pod.is_none()) {
                    self.look_soon(RETRY_LOOK);
                }
                let first = self.observed.replace(pass.observed).is_none();
                if first {
                    self.advance_all();
                }
                match pass.failed {
                    None => Health::Ready,
                    Some(error) => Health::NotReady("PlanRefused", error.to_string()),
                }
            }
            Err(error) => {
                self.note_refusal(true);
                Health::NotReady("KernelUnreadable", error.to_string())
            }
        };
        self.tell_runtime(&health);
        self.standing.tell(health);
    }

    /// A change of the kernel's ends the pause: it may be what was missing.
    fn note_refusal(&mut self, refused: bool) {
        if !refused {
            self.refusals = 0;
            return;
        }
        self.refusals += 1;
        self.look_soon(back_off(self.refusals));
    }

    /// A runtime that cannot be told is told at the next look.
    fn tell_runtime(&mut self, health: &Health) {
        let Some(conflist) = &mut self.conflist else {
            return;
        };
        let uplink = self.observed.as_ref().and_then(|o| o.uplink.as_ref());
        let told = match (health, uplink) {
            (Health::Ready, Some(uplink)) => conflist.ready(&self.cidrs, uplink.mtu_bytes),
            _ => conflist.not_ready(),
        };
        if let Err(error) = told {
            warn!("{error}");
            self.look_soon(RETRY_LOOK);
        }
    }

    fn reap(&mut self, observed: &Observed) {
        let quiet = self.jobs.idle();
        if observed.dead_links >= REAP_BATCH || (observed.dead_links > 0 && quiet) {
            self.jobs.reap();
        } else if observed.dead_links > 0 {
            self.look_soon(RETRY_LOOK);
        }
    }

    /// The Node is gone: end the pods, give back everything, and say so.
    async fn withdraw(mut self) -> Result<ExitCode, AgentError> {
        info!("node {} was deleted; withdrawing", self.config.node);
        if let Some(Err(error)) = self.conflist.as_ref().map(Conflist::not_ready) {
            warn!("{error}");
        }
        let entries = std::mem::take(&mut self.pods.entries);
        for (uid, entry) in entries {
            if let Phase::Running { sandbox, .. }
            | Phase::Adopted { sandbox }
            | Phase::Failed {
                sandbox: Some(sandbox),
                ..
            } = entry.phase
            {
                self.jobs.stop_orphan(&uid, sandbox);
            }
        }
        for (uid, (_, sandbox)) in std::mem::take(&mut self.pods.adopted) {
            self.jobs.stop_orphan(&uid, sandbox);
        }
        self.jobs.drain().await;
        self.fabric.withdraw()?;
        Ok(ExitCode::from(EXIT_NODE_DELETED))
    }
}
