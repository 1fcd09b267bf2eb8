//! The pods of one node: what each is, and what it should become.
//!
//! One entry per pod; its phase says which job, if any, is at work on it, so
//! there is never more than one. Everything here is decided from the entry and
//! the latest object; the jobs only carry it out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{ContainersReport, PodReport, PodState, PodView};
use crate::ipam;
use crate::kernel::KernelError;
use crate::model::{NodeCidrs, PodName, Slot};

use super::runtime::{Assignment, RuntimeError};

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// Why a pod could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(
        "the node's range {cidrs} is used up: all {capacity} pod addresses are taken; delete a \
         pod, use another node, or give nodes larger ranges (--node-mask)"
    )]
    RangeUsedUp { cidrs: NodeCidrs, capacity: u32 },
    #[error("the job that starts it ended early: {0}")]
    Job(String),
}

pub struct Entry<S> {
    pub view: PodView,
    pub phase: Phase<S>,
    /// The address that the pod had here last; where to look first for another.
    pub last_address: Option<IpAddr>,
    pub first_seen: Timestamp,
    /// Whoever tends the containers of its sandbox.
    pub tender: Option<Tender>,
    /// How its containers are, as was reported last.
    pub containers: Option<Arc<ContainersReport>>,
    pub failures: u32,
    /// Nothing is started before this.
    pub paused_until: Option<Instant>,
    /// The status is to be written (again).
    pub unreported: bool,
    /// A job is writing the status.
    pub reporting: bool,
    /// Writes of it that failed since the last that did not.
    pub report_failures: u32,
    /// The object is gone, so there is nothing left to delete in the end.
    pub forgotten: bool,
}

/// The job that tends the containers of one sandbox.
pub struct Tender {
    pub container_id: String,
    pub assignment: watch::Sender<Assignment>,
    /// It has ended: nothing is left to tend.
    pub over: bool,
}

pub enum Phase<S> {
    /// An earlier agent left the sandbox.
    Adopted {
        sandbox: Arc<S>,
    },
    /// A job starts it, or plugs it in again.
    Starting,
    Running {
        sandbox: Arc<S>,
        /// `None`: it lives in the node's own network.
        slot: Option<Slot>,
        since: Timestamp,
    },
    /// Waiting for a retry. The sandbox may be there without a network.
    Failed {
        sandbox: Option<Arc<S>>,
        message: String,
    },
    Stopping,
}

/// What is to be done next for one pod.
pub enum Step<S> {
    Start { sandbox: Option<Arc<S>> },
    Stop { sandbox: Option<Arc<S>> },
}

impl<S> Entry<S> {
    pub fn new(view: PodView, now: Timestamp) -> Entry<S> {
        Entry {
            last_address: view.address,
            first_seen: view.started().unwrap_or(now),
            view,
            phase: Phase::Failed {
                sandbox: None,
                message: String::new(),
            },
            tender: None,
            containers: None,
            failures: 0,
            paused_until: None,
            unreported: false,
            reporting: false,
            report_failures: 0,
            forgotten: false,
        }
    }

    pub fn unwanted(&self) -> bool {
        self.forgotten || self.view.finished || self.view.deletion_grace_seconds.is_some()
    }

    /// Decide, and mark the entry as being worked on. `None`: nothing to do, or
    /// a job is at work and will be followed by another look.
    pub fn next_step(&mut self, now: Instant) -> Option<Step<S>> {
        let unwanted = self.unwanted();
        let paused = self.paused_until.is_some_and(|until| now < until);
        match (&self.phase, unwanted) {
            (Phase::Starting | Phase::Stopping, _) | (Phase::Running { .. }, false) => None,
            // Its containers get the time to end that they are promised.
            (Phase::Running { .. }, true) if !self.at_once() && !self.is_over() => None,
            (Phase::Adopted { sandbox }, _) if !self.at_once() => {
                let sandbox = Some(Arc::clone(sandbox));
                self.phase = Phase::Starting;
                Some(Step::Start { sandbox })
            }
            (Phase::Running { sandbox, .. } | Phase::Adopted { sandbox }, _) => {
                let sandbox = Some(Arc::clone(sandbox));
                Some(self.stop(sandbox))
            }
            (Phase::Failed { sandbox, .. }, true) => {
                let sandbox = sandbox.clone();
                Some(self.stop(sandbox))
            }
            (Phase::Failed { .. }, false) if paused => None,
            (Phase::Failed { sandbox, .. }, false) => {
                let sandbox = sandbox.clone();
                self.phase = Phase::Starting;
                Some(Step::Start { sandbox })
            }
        }
    }

    /// Nobody waits for its containers any more.
    fn at_once(&self) -> bool {
        self.forgotten || self.view.finished
    }

    fn is_over(&self) -> bool {
        self.tender.as_ref().is_none_or(|tender| tender.over)
    }

    fn stop(&mut self, sandbox: Option<Arc<S>>) -> Step<S> {
        self.phase = Phase::Stopping;
        Step::Stop { sandbox }
    }

    /// One more failure in a row; how long nothing is started now.
    pub fn fail(&mut self, now: Instant) -> Duration {
        let doubled = FIRST_RETRY.saturating_mul(1 << self.failures.min(10));
        let pause = doubled.min(LONGEST_RETRY);
        self.failures += 1;
        self.paused_until = Some(now + pause);
        pause
    }

    /// Where to look for a free address first: where it was before.
    pub fn preferred_slot(&self, cidrs: &NodeCidrs) -> Option<Slot> {
        let before = self.last_address?;
        cidrs.iter().find_map(|cidr| ipam::slot_of(cidr, before))
    }

    pub fn addresses(
        &self,
        cidrs: &NodeCidrs,
        slot: Option<Slot>,
        host_addresses: &[IpAddr],
    ) -> Vec<IpAddr> {
        match slot {
            Some(slot) => ipam::addresses(cidrs, slot).unwrap_or_default(),
            None => host_addresses.to_vec(),
        }
    }

    pub fn report(&self, cidrs: &NodeCidrs, host_addresses: &[IpAddr]) -> Option<PodReport> {
        let state = match &self.phase {
            Phase::Running { slot, .. } => PodState::There {
                addresses: self.addresses(cidrs, *slot, host_addresses),
                containers: Arc::clone(self.containers.as_ref()?),
            },
            Phase::Failed { message, .. } if !message.is_empty() => {
                PodState::Waiting("FailedCreatePodSandBox", message.clone())
            }
            _ => return None,
        };
        Some(PodReport {
            state,
            host_addresses: host_addresses.to_vec(),
            started: self.first_seen,
        })
    }

    /// Somebody else may have changed what was written, as the server does with the pods of a node
    /// that was silent for too long.
    pub fn report_again_if_unsaid(&mut self, cidrs: &NodeCidrs, host_addresses: &[IpAddr]) {
        let report = self.report(cidrs, host_addresses);
        let told = report.filter(|report| matches!(report.state, PodState::There { .. }));
        self.unreported |= told.is_some_and(|told| !self.view.says(&told));
    }

    /// The object and the addresses as they are now, to whoever tends the containers.
    pub fn assign(&self, addresses: Option<Vec<IpAddr>>) {
        let Some(tender) = &self.tender else { return };
        tender.assignment.send_if_modified(|assignment| {
            let addresses = addresses.unwrap_or_else(|| assignment.addresses.clone());
            let same = Arc::ptr_eq(&assignment.pod, &self.view.object)
                && assignment.addresses == addresses;
            *assignment = Assignment {
                pod: Arc::clone(&self.view.object),
                addresses,
            };
            !same
        });
    }
}

/// What a complete listing came to.
pub struct Listed<S> {
    /// Every pod that there is.
    pub found: BTreeSet<String>,
    /// Pods that turned out to be gone.
    pub missing: Vec<String>,
    /// Sandboxes whose pods are gone.
    pub orphans: BTreeMap<String, (PodName, Arc<S>)>,
}

/// Every pod of the node, by uid.
pub struct Pods<S> {
    pub entries: BTreeMap<String, Entry<S>>,
    /// Sandboxes that an earlier agent left, until their objects turn up.
    pub adopted: BTreeMap<String, (PodName, Arc<S>)>,
    /// Uids of a listing that is not complete yet.
    listing: Option<Vec<String>>,
}

impl<S> Pods<S> {
    pub fn new(adopted: BTreeMap<String, (PodName, Arc<S>)>) -> Pods<S> {
        Pods {
            entries: BTreeMap::new(),
            adopted,
            listing: None,
        }
    }

    pub fn begin_listing(&mut self) {
        self.listing = Some(Vec::new());
    }

    pub fn end_listing(&mut self) -> Listed<S> {
        let found: BTreeSet<String> = self.listing.take().into_iter().flatten().collect();
        let gone = |uid: &&String| !found.contains(*uid);
        Listed {
            missing: self.entries.keys().filter(gone).cloned().collect(),
            orphans: std::mem::take(&mut self.adopted),
            found,
        }
    }

    /// Whether anything here is about that pod.
    pub fn knows(&self, uid: &str) -> bool {
        self.entries.contains_key(uid) || self.adopted.contains_key(uid)
    }

    /// The object as it is now. A pod with an adopted sandbox takes it over.
    pub fn set(&mut self, view: PodView, now: Timestamp) {
        let uid = view.uid.clone();
        if let Some(found) = &mut self.listing {
            found.push(uid.clone());
        }
        if let Some(entry) = self.entries.get_mut(&uid) {
            entry.view = view;
            entry.assign(None);
            return;
        }
        let is_past = view.finished && view.deletion_grace_seconds.is_none();
        if is_past && !self.adopted.contains_key(&uid) {
            return;
        }
        let mut entry = Entry::new(view, now);
        if let Some((_, sandbox)) = self.adopted.remove(&uid) {
            entry.phase = Phase::Adopted { sandbox };
        }
        self.entries.insert(uid, entry);
    }

    pub fn forget(&mut self, uid: &str) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.forgotten = true;
        }
    }
}
