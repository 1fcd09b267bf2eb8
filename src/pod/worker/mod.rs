//! One pod's worker: the task that makes its containers' lives come true.
//!
//! ```text
//!   the object ───────┐                    ┌─► jobs: volumes, starts, hooks, signals
//!   podnet-pause ─────┤                    ├─► probes
//!   jobs that ended ──┼─► Life ─► actions ─┼─► events
//!   probes ───────────┤   (one task        └─► reports to the agent
//!   timers ───────────┘    owns it)
//! ```
//!
//! What to do is decided by [`life`](super::life). What podnet-pause says is what
//! counts of what runs: a worker that starts over asks it, and touches nothing.

mod files;
mod happen;
mod hooks;
mod notes;
mod probes;
mod programs;
mod start;

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, ContainerStatus, Pod};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use super::client::{Changes, Pause, PauseError};
use super::image::Catalogue;
use super::life::{Action, Found, Life, Pace, Volumes, Wanted};
use super::plan::NodeFacts;
use super::protocol;
use crate::agent::Tending;
use crate::cluster::ContainersReport;
use notes::Notes;
use probes::{Probes, Verdict};
use start::{Made, Refused};

/// How long a report waits for a container that is just being started.
const LULL: Duration = Duration::from_millis(100);
/// How old what volumes show of the API may get (the kubelet's syncFrequency).
const REFRESH: Duration = Duration::from_secs(60);
/// Until a sandbox that cannot be reached is tried again: descriptors may be short. One
/// that has ended is its agent's business.
const REACH_AGAIN: Duration = Duration::from_secs(1);
/// Verdicts of probes that may wait to be seen.
const VERDICTS: usize = 8;

/// What all pods of a node have in common.
pub struct Node {
    pub facts: NodeFacts,
    pub catalogue: Catalogue,
    pub pace: Pace,
}

/// A job that has ended.
enum Done {
    Volumes(Result<(), start::Failure>),
    Started {
        index: usize,
        attempt: u32,
        result: Result<Made, Refused>,
    },
    PostStart {
        index: usize,
        attempt: u32,
        result: Result<(), String>,
    },
    /// The hook is through, however it went.
    PreStop {
        index: usize,
        attempt: u32,
    },
    Signalled,
    /// What volumes show of the API is as it is now.
    Refreshed(Result<(), start::Failure>),
}

struct Worker {
    node: Arc<Node>,
    dir: PathBuf,
    pause: Arc<Pause>,
    tending: Tending,
    pod: Arc<Pod>,
    wanted: Wanted,
    life: Life,
    jobs: JoinSet<Done>,
    notes: Notes,
    /// In the order of the containers.
    probes: Vec<Option<Probes>>,
    verdicts: mpsc::Sender<Verdict>,
    told: Option<Arc<ContainersReport>>,
    /// When volumes show anew what they show of the API; `None`: none shows any.
    refresh_at: Option<Instant>,
    /// Starts that are under way.
    starting: u32,
    /// Since when a report waits.
    lull: Option<Instant>,
}

/// Tend the containers of the pod in `dir` until that is over.
pub async fn tend(node: Arc<Node>, dir: PathBuf, tending: Tending) {
    let mut tending = tending;
    let (pause, there, changes) = loop {
        let error = match reach(&dir).await {
            Ok(reached) => break reached,
            Err(error) => error,
        };
        warn!("pod in {}: {error}", dir.display());
        tokio::select! {
            () = tokio::time::sleep(REACH_AGAIN) => {}
            // The agent has another sandbox for it, or none.
            () = no_more(&mut tending) => return,
        }
    };
    let (verdicts, heard) = mpsc::channel(VERDICTS);
    let worker = Worker::new(node, dir, pause, tending, &there, verdicts);
    worker.run(changes, heard).await;
}

async fn reach(dir: &Path) -> Result<(Arc<Pause>, Vec<protocol::Container>, Changes), PauseError> {
    let pause = Pause::connect(dir)?;
    let (there, changes) = pause.watch().await?;
    Ok((Arc::new(pause), there, changes))
}

async fn no_more(tending: &mut Tending) {
    while tending.assignment.changed().await.is_ok() {}
}

impl Worker {
    fn new(
        node: Arc<Node>,
        dir: PathBuf,
        pause: Arc<Pause>,
        tending: Tending,
        there: &[protocol::Container],
        verdicts: mpsc::Sender<Verdict>,
    ) -> Worker {
        let pod = Arc::clone(&tending.assignment.borrow().pod);
        let wanted = Wanted::of(&pod, node.pace);
        let now = Timestamp::now();
        let known = known_statuses(&tending, &pod);
        let found: Vec<Found<'_>> = wanted
            .containers
            .iter()
            .map(|rules| Found {
                status: known.iter().find(|status| status.name == rules.name),
                there: there.iter().find(|container| container.name == rules.name),
                logged: files::latest_attempt(&dir, &rules.name),
            })
            .collect();
        let life = Life::resume(&wanted, &found, tending.started, now, |index, run, end| {
            files::terminated(&dir, spec(&pod, index), run, end)
        });
        Worker {
            probes: wanted.containers.iter().map(|_| None).collect(),
            notes: Notes::new(tending.events.clone(), Arc::clone(&pod)),
            told: tending.before.clone(),
            jobs: JoinSet::new(),
            refresh_at: start::shows_the_api(&pod).then(|| Instant::now() + REFRESH),
            starting: 0,
            lull: None,
            node,
            dir,
            pause,
            tending,
            pod,
            wanted,
            life,
            verdicts,
        }
    }

    async fn run(mut self, mut changes: Changes, mut heard: mpsc::Receiver<Verdict>) {
        if let Some(by) = &self.pod.metadata.deletion_timestamp {
            self.life.delete(by.0);
        }
        loop {
            let again = self.act();
            self.report().await;
            if self.starting == 0 && self.life.is_over(&self.wanted) {
                return;
            }
            let due = [again, self.lull.map(|since| since + LULL), self.refresh_at];
            let due = due.into_iter().flatten().min();
            tokio::select! {
                changed = self.tending.assignment.changed() => match changed {
                    Ok(()) => self.on_object(),
                    Err(_) => return,
                },
                change = changes.next() => match change {
                    Some(container) => self.on_change(&container),
                    None => return,
                },
                Some(done) = self.jobs.join_next() => match done {
                    Ok(done) => self.on_done(done),
                    Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                    Err(_) => {}
                },
                Some(verdict) = heard.recv() => self.on_verdict(verdict),
                () = sleep_until(due) => {}
            }
        }
    }

    /// Have done what is to be done now; when to look again.
    fn act(&mut self) -> Option<Instant> {
        let now = Timestamp::now();
        let (actions, again) = self.life.next(&self.wanted, now);
        for action in actions {
            self.carry_out(action);
        }
        self.tend_probes();
        if self.refresh_at.is_some_and(|at| at <= Instant::now()) {
            self.refresh();
        }
        again.map(|again| Instant::now() + until(now, again))
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::PrepareVolumes => {
                let job = start::volumes(self.scene());
                self.jobs.spawn(async move { Done::Volumes(job.await) });
            }
            Action::Start(index) => self.start(index),
            Action::Stop(index) => {
                self.notes.stopping(&self.wanted.containers[index].name);
                self.stop(index);
            }
            Action::Terminate(index) => self.signal(index, hooks::TERM),
            Action::Kill(index) => self.signal(index, hooks::KILL),
            Action::CrashBackOff(index) => {
                let name = &self.wanted.containers[index].name;
                self.notes.crash_back_off(name, &self.wanted.pod);
            }
            Action::PullBackOff(index) => {
                let rules = &self.wanted.containers[index];
                self.notes.pull_back_off(&rules.name, &rules.image);
            }
            Action::DeadlineExceeded => self.notes.deadline_exceeded(),
        }
    }

    /// Have volumes show what is now.
    fn refresh(&mut self) {
        if self.refresh_at.is_some() && matches!(self.life.volumes, Volumes::Ready) {
            let job = start::refresh(self.scene());
            self.jobs.spawn(async move { Done::Refreshed(job.await) });
        }
        self.refresh_at = self.refresh_at.map(|_| Instant::now() + REFRESH);
    }

    fn scene(&self) -> start::Scene {
        start::Scene {
            node: Arc::clone(&self.node),
            dir: self.dir.clone(),
            pause: Arc::clone(&self.pause),
            pod: Arc::clone(&self.pod),
            addresses: self.tending.assignment.borrow().addresses.clone(),
            client: self.tending.client.clone(),
            notes: self.notes.clone(),
        }
    }

    fn start(&mut self, index: usize) {
        self.starting += 1;
        let attempt = self.life.containers[index].next_attempt();
        let job = start::start(self.scene(), index, attempt);
        self.jobs.spawn(async move {
            Done::Started {
                index,
                attempt,
                result: job.await,
            }
        });
    }

    /// The preStop hook, then SIGTERM.
    fn stop(&mut self, index: usize) {
        let attempt = self.life.containers[index].restarts;
        let Some(hook) = self.hook(index, |hooks| hooks.pre_stop.as_ref()) else {
            self.life.hook_over(index, attempt, Timestamp::now());
            return self.signal(index, hooks::TERM);
        };
        let pause = Arc::clone(&self.pause);
        let name = self.wanted.containers[index].name.clone();
        let notes = self.notes.clone();
        self.jobs.spawn(async move {
            if let Err(why) = hooks::run(hook, &pause, &name).await {
                notes.hook_failed(&name, "FailedPreStopHook", "PreStopHook", &why);
            }
            Done::PreStop { index, attempt }
        });
    }

    fn signal(&mut self, index: usize, signal: i32) {
        let pause = Arc::clone(&self.pause);
        let name = self.wanted.containers[index].name.clone();
        self.jobs.spawn(async move {
            hooks::signal(&pause, &name, signal).await;
            Done::Signalled
        });
    }

    fn hook(&self, index: usize, which: hooks::Which) -> Option<hooks::Hook> {
        let address = self.address();
        hooks::Hook::of(spec(&self.pod, index)?, which, address)
    }

    fn address(&self) -> Option<std::net::IpAddr> {
        self.tending.assignment.borrow().addresses.first().copied()
    }

    /// Tell the agent how it stands, if that is news. What is just being started gets a
    /// moment, so that one report says it all.
    async fn report(&mut self) {
        let now = Timestamp::now();
        let own = self.told.iter().flat_map(|told| &told.conditions);
        let status = self.pod.status.as_ref();
        let objects = status
            .into_iter()
            .flat_map(|status| status.conditions.iter().flatten());
        let before: Vec<_> = own.chain(objects).cloned().collect();
        let report = self.life.report(&self.wanted, &before, now);
        if self.told.as_deref() == Some(&report) {
            self.lull = None;
            return;
        }
        if self.starting > 0 {
            let since = *self.lull.get_or_insert_with(Instant::now);
            if since.elapsed() < LULL {
                return;
            }
        }
        self.lull = None;
        let report = Arc::new(report);
        self.told = Some(Arc::clone(&report));
        self.tending.reports.send(report).await;
    }
}

/// What was said last of each container.
fn known_statuses(tending: &Tending, pod: &Pod) -> Vec<ContainerStatus> {
    if let Some(before) = &tending.before {
        let all = before.init_containers.iter().chain(&before.containers);
        return all.cloned().collect();
    }
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let init = status.init_container_statuses.iter().flatten();
    let all = init.chain(status.container_statuses.iter().flatten());
    all.cloned().collect()
}

/// In the order of [`Wanted::containers`].
fn spec(pod: &Pod, index: usize) -> Option<&Spec> {
    let spec = pod.spec.as_ref()?;
    let init = spec.init_containers.as_deref().unwrap_or_default();
    init.iter().chain(&spec.containers).nth(index)
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
