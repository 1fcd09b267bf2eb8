//! The pods of one node: what each is, and what it should become.
//!
//! One entry per pod; its phase says which job, if any, is at work on it, so
//! there is never more than one. Everything here is decided from the entry and
//! the latest object; the jobs only carry it out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tokio::time::Instant;

use crate::cluster::{PodReport, PodState, PodView};
use crate::ipam;
use crate::kernel::KernelError;
use crate::model::{NodeCidrs, PodName, Slot};

use super::runtime::RuntimeError;

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
    pub restarts: i32,
    pub failures: u32,
    /// Nothing is started before this.
    pub paused_until: Option<Instant>,
    /// The status is to be written (again).
    pub unreported: bool,
    /// A job is writing the status.
    pub reporting: bool,
    /// The object is gone, so there is nothing left to delete in the end.
    pub forgotten: bool,
}

pub enum Phase<S> {
    /// A job starts it, or plugs it in again.
    Starting,
    Running {
        sandbox: Arc<S>,
        slot: Slot,
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
    Start {
        sandbox: Option<Arc<S>>,
    },
    Stop {
        sandbox: Option<Arc<S>>,
        grace: Duration,
    },
}

impl<S> Entry<S> {
    pub fn new(view: PodView, now: Timestamp) -> Entry<S> {
        Entry {
            restarts: view.restarts,
            last_address: view.address,
            view,
            phase: Phase::Failed {
                sandbox: None,
                message: String::new(),
            },
            first_seen: now,
            failures: 0,
            paused_until: None,
            unreported: false,
            reporting: false,
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
            (Phase::Running { sandbox, .. }, true) => {
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

    fn stop(&mut self, sandbox: Option<Arc<S>>) -> Step<S> {
        self.phase = Phase::Stopping;
        let seconds = self.view.deletion_grace_seconds.unwrap_or(0);
        Step::Stop {
            sandbox,
            grace: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        }
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

    /// Whether the object already says that it runs like this.
    pub fn known_as(&self, container_id: &str, cidrs: &NodeCidrs, slot: Slot) -> bool {
        let addresses = ipam::addresses(cidrs, slot).unwrap_or_default();
        self.view.container_id.as_deref() == Some(container_id)
            && self.view.address.as_ref() == addresses.first()
    }

    pub fn report(
        &self,
        container_id: &str,
        cidrs: &NodeCidrs,
        host_addresses: &[IpAddr],
    ) -> Option<PodReport> {
        let state = match &self.phase {
            Phase::Running { slot, since, .. } => PodState::Running {
                container_id: container_id.to_owned(),
                addresses: ipam::addresses(cidrs, *slot)?,
                since: *since,
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
            restarts: self.restarts,
        })
    }
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

    /// Returns the uids that turned out to be gone, and the sandboxes whose
    /// pods are.
    pub fn end_listing(&mut self) -> (Vec<String>, Vec<(PodName, Arc<S>)>) {
        let found = self.listing.take().unwrap_or_default();
        let gone = |uid: &&String| !found.contains(uid);
        let missing = self.entries.keys().filter(gone).cloned().collect();
        let orphans = std::mem::take(&mut self.adopted).into_values().collect();
        (missing, orphans)
    }

    /// The object as it is now. A pod with an adopted sandbox takes it over.
    pub fn set(&mut self, view: PodView, now: Timestamp) {
        let uid = view.uid.clone();
        if let Some(found) = &mut self.listing {
            found.push(uid.clone());
        }
        if let Some(entry) = self.entries.get_mut(&uid) {
            entry.view = view;
            return;
        }
        if view.finished && !self.adopted.contains_key(&uid) {
            return;
        }
        let mut entry = Entry::new(view, now);
        if let Some((_, sandbox)) = self.adopted.remove(&uid) {
            entry.phase = Phase::Failed {
                sandbox: Some(sandbox),
                message: String::new(),
            };
        }
        self.entries.insert(uid, entry);
    }

    pub fn forget(&mut self, uid: &str) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.forgotten = true;
        }
    }
}
