//! The event loop: one task, all the state.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::cluster::{
    self, Change, Health, NodeView, PodView, Registration, watch_nodes, watch_pods,
};
use crate::kernel::linux::{Linux, Monitor};
use crate::model::NodeCidrs;
use crate::plan::{BRIDGE_NAME, Observed};

use super::config::Config;
use super::event::{Event, Job};
use super::fabric::Fabric;
use super::jobs::Jobs;
use super::membership::{self, Membership, join, peers};
use super::pods::{Phase, Pods, Step};
use super::runtime::PodRuntime;
use super::{AgentError, EXIT_NODE_DELETED};

/// The kernel is looked at no more often than this, however much it changes.
const LOOK_GAP: Duration = Duration::from_millis(100);
/// After a refusal the plan is made anew this soon.
const RETRY_LOOK: Duration = Duration::from_secs(1);
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
    let Membership { uid, cidrs } = tokio::select! {
        joined = join(&client, &config, &ours) => joined?,
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
    let agent = Agent {
        jobs: Jobs::new(client.clone(), runtime.map(Arc::new), cidrs.clone())?,
        pods: Pods::new(adopted),
        client,
        uid: uid.into(),
        cidrs,
        fabric,
        ours,
        config,
        nodes: BTreeMap::new(),
        listing: None,
        listed: false,
        told: None,
        telling: JoinSet::new(),
        look_at: Some(Instant::now()),
        looked_at: Instant::now(),
        observed: None,
    };
    agent.run(terminate).await
}

struct Agent<R: PodRuntime> {
    config: Config,
    client: Client,
    ours: Registration,
    uid: Arc<str>,
    cidrs: NodeCidrs,
    fabric: Fabric,
    nodes: BTreeMap<String, NodeView>,
    /// Nodes of a listing that is not complete yet.
    listing: Option<BTreeMap<String, NodeView>>,
    /// Whether all nodes were seen once.
    listed: bool,
    pods: Pods<R::Sandbox>,
    jobs: Jobs<R>,
    /// What the node's own object says; `None` until it was written.
    told: Option<Health>,
    telling: JoinSet<Result<(), cluster::ApiError>>,
    look_at: Option<Instant>,
    looked_at: Instant,
    observed: Option<Observed>,
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
    ) -> Result<ExitCode, AgentError> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut monitor = Monitor::open()?;
        let mut nodes = std::pin::pin!(watch_nodes(&self.client));
        let mut pods = std::pin::pin!(match self.jobs.runs_pods() {
            true => watch_pods(&self.client, &self.config.node).left_stream(),
            false => futures::stream::pending().right_stream(),
        });
        let alive = membership::keep_alive(
            self.client.clone(),
            self.config.node.clone(),
            Arc::clone(&self.uid),
        );
        let mut alive = std::pin::pin!(alive);
        loop {
            let due = self.due();
            let event = tokio::select! {
                Some(change) = nodes.next() => Event::Node(change),
                Some(change) = pods.next() => Event::Pod(change),
                Some(job) = self.jobs.next() => Event::Job(job),
                Some(told) = self.telling.join_next() => {
                    Event::Told(told.unwrap_or(Ok(())))
                }
                changed = monitor.changed() => {
                    changed?;
                    Event::Kernel
                }
                () = tokio::time::sleep_until(due) => Event::Tick,
                () = &mut alive => Event::Stop,
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
        let resync = self.looked_at + self.config.resync;
        self.look_at.map_or(resync, |at| at.min(resync))
    }

    fn handle(&mut self, event: Event<R::Sandbox>) -> Result<Outcome, AgentError> {
        match event {
            Event::Node(change) => return self.on_node(change),
            Event::Pod(change) => self.on_pod(change),
            Event::Job(job) => self.on_job(job),
            Event::Kernel => self.look_soon(Duration::ZERO),
            Event::Tick => self.on_tick(),
            Event::Told(Ok(())) => {}
            Event::Told(Err(error)) => {
                warn!("{error}");
                self.told = None;
                self.look_soon(RETRY_LOOK);
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
                self.listed = true;
                self.look_soon(Duration::ZERO);
            }
            Change::Set(node) => {
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

    fn on_pod(&mut self, change: Change<PodView>) {
        match change {
            Change::Listing => self.pods.begin_listing(),
            Change::Found(view) | Change::Set(view) => {
                let uid = view.uid.clone();
                self.pods.set(view, Timestamp::now());
                self.advance(&uid);
            }
            Change::Listed => {
                let (missing, orphans) = self.pods.end_listing();
                for (pod, sandbox) in orphans {
                    info!("pod {pod} is gone; ending its sandbox");
                    self.jobs.stop_orphan(sandbox);
                }
                for uid in missing {
                    self.pods.forget(&uid);
                    self.advance(&uid);
                }
            }
            Change::Gone(uid) => {
                self.pods.forget(&uid);
                self.advance(&uid);
            }
        }
    }

    /// Start the job that brings one pod a step on, if there is one to do.
    fn advance(&mut self, uid: &str) {
        if self.observed.is_none() {
            // There is no bridge to plug into yet; the first look comes back to it.
            return;
        }
        let Some(entry) = self.pods.entries.get_mut(uid) else {
            return;
        };
        match entry.next_step() {
            Some(Step::Start { sandbox }) => {
                let prefer = entry.preferred_slot(&self.cidrs);
                let found = self.observed.as_ref();
                self.jobs.start(entry.view.clone(), sandbox, prefer, found);
            }
            Some(Step::Stop { sandbox, grace }) => {
                self.jobs
                    .stop(&entry.view, sandbox, grace, !entry.forgotten);
            }
            None => {}
        }
        if entry.unreported && !entry.reporting && !entry.unwanted() {
            let id = match &entry.phase {
                Phase::Running { sandbox, .. } => self.jobs.container_id(sandbox),
                _ => "",
            };
            if let Some(report) = entry.report(id, &self.cidrs, &self.config.addresses) {
                entry.unreported = false;
                entry.reporting = true;
                self.jobs.report(entry.view.clone(), report);
            }
        }
    }

    fn advance_all(&mut self) {
        let uids: Vec<String> = self.pods.entries.keys().cloned().collect();
        for uid in uids {
            self.advance(&uid);
        }
    }

    fn on_job(&mut self, job: Job<R::Sandbox>) {
        let uid = match job {
            Job::Started {
                uid,
                sandbox,
                result,
            } => {
                let Some(entry) = self.pods.entries.get_mut(&uid) else {
                    return;
                };
                match (sandbox, result) {
                    (Some(sandbox), Ok(slot)) => {
                        entry.failures = 0;
                        let id = self.jobs.container_id(&sandbox);
                        entry.unreported = !entry.known_as(id, &self.cidrs, slot);
                        self.jobs.watch(&uid, Arc::clone(&sandbox));
                        entry.phase = Phase::Running {
                            sandbox,
                            slot,
                            since: Timestamp::now(),
                        };
                    }
                    (sandbox, result) => {
                        let message = result.err().map_or_else(String::new, |e| e.to_string());
                        warn!("pod {}: {message}", entry.view.pod);
                        entry.failures += 1;
                        entry.pausing = true;
                        entry.unreported = true;
                        self.jobs.retry(&uid, entry.retry_pause());
                        entry.phase = Phase::Failed { sandbox, message };
                    }
                }
                uid
            }
            Job::Ended { uid, container_id } => {
                self.on_ended(&uid, &container_id);
                uid
            }
            Job::Stopped { uid } => {
                self.pods.entries.remove(&uid);
                self.look_soon(RETRY_LOOK);
                return;
            }
            Job::Reported { uid, result } => {
                if let Some(entry) = self.pods.entries.get_mut(&uid) {
                    entry.reporting = false;
                    if let Err(error) = result {
                        warn!("{error}");
                        entry.unreported = true;
                        self.jobs.retry(&uid, RETRY_LOOK);
                        return;
                    }
                }
                uid
            }
            Job::Retry { uid } => {
                if let Some(entry) = self.pods.entries.get_mut(&uid) {
                    entry.pausing = false;
                }
                uid
            }
        };
        self.advance(&uid);
    }

    /// A sandbox that ends by itself is made again, with the same address if it
    /// can be had.
    fn on_ended(&mut self, uid: &str, container_id: &str) {
        let Some(entry) = self.pods.entries.get_mut(uid) else {
            return;
        };
        let Phase::Running { sandbox, slot, .. } = &entry.phase else {
            return;
        };
        if self.jobs.container_id(sandbox) != container_id {
            return;
        }
        warn!(
            "pod {}: its sandbox ended; starting it again",
            entry.view.pod
        );
        entry.view.address = crate::ipam::addresses(&self.cidrs, *slot)
            .and_then(|addresses| addresses.first().copied());
        self.jobs.free(container_id);
        entry.restarts += 1;
        entry.phase = Phase::Failed {
            sandbox: None,
            message: String::new(),
        };
    }

    fn look_soon(&mut self, pause: Duration) {
        let at = (Instant::now() + pause).max(self.looked_at + LOOK_GAP);
        self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
    }

    fn on_tick(&mut self) {
        let resync = self.looked_at + self.config.resync <= Instant::now();
        self.look();
        if resync {
            for entry in self.pods.entries.values() {
                if let Phase::Running { sandbox, slot, .. } = &entry.phase {
                    self.jobs.mend(&entry.view, Arc::clone(sandbox), *slot);
                }
            }
        }
    }

    /// Observe, plan, apply; then see to what the plan does not cover.
    fn look(&mut self) {
        self.look_at = None;
        self.looked_at = Instant::now();
        if !self.listed {
            return;
        }
        let peers = peers(self.nodes.values(), &self.config.node);
        let now = std::time::Instant::now();
        let pass = self
            .fabric
            .reconcile(&self.config.node, &self.cidrs, &peers, now);
        let health = match pass {
            Ok(pass) => {
                if pass.failed.is_some() {
                    self.look_soon(RETRY_LOOK);
                }
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
                warn!("{error}");
                self.look_soon(RETRY_LOOK);
                Health::NotReady("KernelUnreadable", error.to_string())
            }
        };
        self.tell(health);
    }

    fn reap(&mut self, observed: &Observed) {
        let quiet = self.jobs.idle();
        if observed.dead_links >= REAP_BATCH || (observed.dead_links > 0 && quiet) {
            self.jobs.reap();
        } else if observed.dead_links > 0 {
            self.look_soon(RETRY_LOOK);
        }
    }

    /// A running pod whose link is gone gets a new one.
    fn plug_in_again(&mut self, observed: &Observed) {
        let mut lost = Vec::new();
        for (uid, entry) in &mut self.pods.entries {
            let Phase::Running { sandbox, slot, .. } = &entry.phase else {
                continue;
            };
            let port = observed.ports.get(slot);
            let id = self.jobs.attachment_id(sandbox);
            if port.and_then(|port| port.attachment.as_deref()) == id.as_deref() {
                continue;
            }
            warn!(
                "pod {}: its link {slot} is gone; plugging it in again",
                entry.view.pod
            );
            entry.view.address = crate::ipam::addresses(&self.cidrs, *slot)
                .and_then(|addresses| addresses.first().copied());
            entry.phase = Phase::Failed {
                sandbox: Some(Arc::clone(sandbox)),
                message: String::new(),
            };
            lost.push(uid.clone());
        }
        for uid in lost {
            self.advance(&uid);
        }
    }

    fn tell(&mut self, health: Health) {
        if self.told.as_ref() == Some(&health) {
            return;
        }
        self.told = Some(health.clone());
        let (client, ours) = (self.client.clone(), self.ours.clone());
        self.telling
            .spawn(async move { cluster::set_status(&client, &ours, &health).await });
    }

    /// The Node is gone: end the pods, give back everything, and say so.
    async fn withdraw(mut self) -> Result<ExitCode, AgentError> {
        info!("node {} was deleted; withdrawing", self.config.node);
        let entries = std::mem::take(&mut self.pods.entries);
        for entry in entries.into_values() {
            if let Phase::Running { sandbox, .. }
            | Phase::Failed {
                sandbox: Some(sandbox),
                ..
            } = entry.phase
            {
                self.jobs.stop_orphan(sandbox);
            }
        }
        for (_, sandbox) in std::mem::take(&mut self.pods.adopted).into_values() {
            self.jobs.stop_orphan(sandbox);
        }
        self.jobs.drain().await;
        self.fabric.withdraw()?;
        Ok(ExitCode::from(EXIT_NODE_DELETED))
    }
}
