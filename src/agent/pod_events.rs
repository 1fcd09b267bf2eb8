//! What becomes of pods when something happens: the part of the event loop
//! that is about them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::cluster::{About, Change, Note, PodView, back_off};
use crate::ipam;
use crate::model::{NodeCidrs, Slot};
use crate::plan::Observed;

use super::core::{Agent, RETRY_LOOK};
use super::event::Job;
use super::pods::{Entry, Phase, StartError, Step, Tender};
use super::runtime::{Assignment, PodRuntime, Reported, Reports, Tending};

/// A sandbox that ends before this was a failure to start it.
const SOON: Duration = Duration::from_secs(10);
/// How long a sandbox whose containers have ended may take to end when asked.
const STOP_GRACE: Duration = Duration::from_secs(2);

impl<R: PodRuntime> Agent<R> {
    pub(super) fn on_pod(&mut self, change: Change<PodView>) {
        match change {
            Change::Listing => self.pods.begin_listing(),
            Change::Found(view) | Change::Set(view) => {
                let uid = view.uid.clone();
                self.pods.set(view, Timestamp::now());
                if let Some(entry) = self.pods.entries.get_mut(&uid) {
                    entry.report_again_if_unsaid(&self.cidrs, &self.config.addresses);
                }
                self.advance(&uid);
            }
            Change::Listed => {
                let listed = self.pods.end_listing();
                let mut kept = listed.found;
                for (uid, (pod, sandbox)) in listed.orphans {
                    info!("pod {pod} is gone; ending its sandbox");
                    self.jobs.stop_orphan(&uid, sandbox);
                    kept.insert(uid);
                }
                for uid in listed.missing {
                    self.pods.forget(&uid);
                    self.advance(&uid);
                    kept.insert(uid);
                }
                kept.extend(self.pods.entries.keys().cloned());
                self.jobs.clear_all_but(&kept);
            }
            Change::Gone(uid) if self.pods.knows(&uid) => {
                self.pods.forget(&uid);
                self.advance(&uid);
            }
            Change::Gone(uid) => self.jobs.clear(&uid),
        }
    }

    /// Start the job that brings one pod a step on, if there is one to do, and
    /// the one that reports it.
    fn advance(&mut self, uid: &str) {
        if self.observed.is_none() {
            // There is no bridge to plug into yet; the first look comes back to it.
            return;
        }
        let Some(entry) = self.pods.entries.get_mut(uid) else {
            return;
        };
        match entry.next_step(Instant::now()) {
            Some(Step::Start { sandbox }) => {
                let prefer = entry.preferred_slot(&self.cidrs);
                let found = self.observed.as_ref();
                self.jobs.start(entry.view.clone(), sandbox, prefer, found);
            }
            Some(Step::Stop { sandbox }) => {
                let delete = !entry.forgotten;
                self.jobs.stop(&entry.view, sandbox, STOP_GRACE, delete);
            }
            None => {}
        }
        if !entry.unreported || entry.reporting || entry.forgotten || entry.view.finished {
            return;
        }
        if let Some(report) = entry.report(&self.cidrs, &self.config.addresses) {
            entry.unreported = false;
            if !entry.view.says(&report) {
                entry.reporting = true;
                self.jobs.report(entry.view.clone(), report);
            }
        }
    }

    pub(super) fn advance_all(&mut self) {
        let uids: Vec<String> = self.pods.entries.keys().cloned().collect();
        for uid in uids {
            self.advance(&uid);
        }
    }

    pub(super) fn on_job(&mut self, job: Job<R::Sandbox>) {
        let uid = match job {
            Job::Started {
                uid,
                sandbox,
                result,
            } => {
                self.on_started(&uid, sandbox, result);
                uid
            }
            Job::Ended { uid, container_id } => {
                self.on_ended(&uid, &container_id);
                uid
            }
            Job::Over { uid, container_id } => {
                if let Some(entry) = self.pods.entries.get_mut(&uid)
                    && let Some(tender) = &mut entry.tender
                    && tender.container_id == container_id
                {
                    tender.over = true;
                }
                uid
            }
            Job::Stopped { uid } => {
                let entry = self.pods.entries.remove(&uid);
                if entry.is_some_and(|entry| entry.forgotten) {
                    // It may have been there still when the job began.
                    self.jobs.clear(&uid);
                }
                self.look_soon(RETRY_LOOK);
                return;
            }
            Job::Reported { uid, result } => {
                self.reach.note(&result);
                if let Some(entry) = self.pods.entries.get_mut(&uid) {
                    entry.reporting = false;
                    if result.is_err() {
                        entry.unreported = true;
                        entry.report_failures += 1;
                        let pause = back_off(entry.report_failures);
                        return self.jobs.retry_when_answered(&uid, pause);
                    }
                    entry.report_failures = 0;
                }
                uid
            }
            Job::Retry { uid } => uid,
        };
        self.advance(&uid);
    }

    /// The next report that fails is tried again soon.
    pub(super) fn forget_report_failures(&mut self) {
        for entry in self.pods.entries.values_mut() {
            entry.report_failures = 0;
        }
    }

    pub(super) fn on_containers(&mut self, reported: Reported) {
        let Some(entry) = self.pods.entries.get_mut(&reported.uid) else {
            return;
        };
        let current = entry.tender.as_ref().map(|tender| &tender.container_id);
        if current == Some(&reported.container_id) {
            entry.containers = Some(reported.report);
            entry.unreported = true;
            self.advance(&reported.uid);
        }
    }

    fn on_started(
        &mut self,
        uid: &str,
        sandbox: Option<Arc<R::Sandbox>>,
        result: Result<Option<Slot>, StartError>,
    ) {
        let Some(entry) = self.pods.entries.get_mut(uid) else {
            return;
        };
        match (sandbox, result) {
            (Some(sandbox), Ok(slot)) => {
                let addresses = entry.addresses(&self.cidrs, slot, &self.config.addresses);
                entry.phase = Phase::Running {
                    sandbox: Arc::clone(&sandbox),
                    slot,
                    since: Timestamp::now(),
                };
                let id = self.jobs.container_id(&sandbox);
                match &entry.tender {
                    Some(tender) if tender.container_id == id => {
                        entry.assign(Some(addresses));
                        entry.unreported = true;
                        // It may have ended meanwhile, when that was not listened to.
                        self.jobs.watch(uid, sandbox);
                    }
                    _ => {
                        let container_id = id.to_owned();
                        let assignment = Assignment {
                            pod: Arc::clone(&entry.view.object),
                            addresses,
                        };
                        self.tend(uid, container_id, sandbox, assignment);
                    }
                }
            }
            (sandbox, result) => {
                let message = result.err().map_or_else(String::new, |e| e.to_string());
                warn!("pod {}: {message}", entry.view.pod);
                entry.unreported = true;
                let about = About {
                    pod: Arc::clone(&entry.view.object),
                    field: None,
                };
                let note = Note {
                    warning: true,
                    reason: "FailedCreatePodSandBox",
                    message: format!("Failed to create pod sandbox: {message}"),
                };
                self.events.record(about, note);
                entry.phase = Phase::Failed { sandbox, message };
                let pause = entry.fail(Instant::now());
                self.jobs.retry(uid, pause);
            }
        }
    }

    /// Have the containers of a sandbox tended, that is there now.
    fn tend(
        &mut self,
        uid: &str,
        container_id: String,
        sandbox: Arc<R::Sandbox>,
        assignment: Assignment,
    ) {
        let Some(entry) = self.pods.entries.get_mut(uid) else {
            return;
        };
        self.jobs.watch(uid, Arc::clone(&sandbox));
        let (sender, assignment) = watch::channel(assignment);
        entry.tender = Some(Tender {
            container_id: container_id.clone(),
            assignment: sender,
            over: false,
        });
        let tending = Tending {
            assignment,
            before: entry.containers.clone(),
            host_addresses: self.config.addresses.clone(),
            started: entry.first_seen,
            client: self.client.clone(),
            events: self.events.clone(),
            reports: Reports {
                uid: uid.to_owned(),
                container_id,
                sender: self.reports.clone(),
            },
        };
        self.jobs.tend(sandbox, tending);
    }

    /// A sandbox that ends by itself is made again, with the same address if it
    /// can be had: at once the first time, ever later if it keeps ending.
    fn on_ended(&mut self, uid: &str, container_id: &str) {
        let Some(entry) = self.pods.entries.get_mut(uid) else {
            return;
        };
        let Phase::Running {
            sandbox,
            slot,
            since,
        } = &entry.phase
        else {
            return;
        };
        if self.jobs.container_id(sandbox) != container_id {
            return;
        }
        warn!(
            "pod {}: its sandbox ended; starting it again",
            entry.view.pod
        );
        let ran = Timestamp::now().duration_since(*since);
        let soon = ran.unsigned_abs() < SOON;
        let slot = *slot;
        if let Some(slot) = slot {
            remember(entry, &self.cidrs, slot);
            self.jobs.free(container_id);
        }
        let about = About {
            pod: Arc::clone(&entry.view.object),
            field: None,
        };
        let note = Note {
            warning: false,
            reason: "SandboxChanged",
            message: "Pod sandbox changed, it will be killed and re-created.".to_owned(),
        };
        self.events.record(about, note);
        entry.phase = Phase::Failed {
            sandbox: None,
            message: String::new(),
        };
        if soon {
            let pause = entry.fail(Instant::now());
            self.jobs.retry(uid, pause);
        } else {
            entry.failures = 0;
        }
    }

    pub(super) fn mend_pods(&mut self) {
        let running = self
            .pods
            .entries
            .values()
            .filter_map(|entry| match &entry.phase {
                Phase::Running {
                    sandbox,
                    slot: Some(slot),
                    ..
                } => Some((entry.view.pod.clone(), Arc::clone(sandbox), *slot)),
                _ => None,
            });
        let running = running.collect();
        self.jobs.mend(running);
    }

    /// A running pod whose link is gone, or is no longer what it was, gets a new one.
    pub(super) fn plug_in_again(&mut self, observed: &Observed) {
        let mut lost = Vec::new();
        for (uid, entry) in &mut self.pods.entries {
            let Phase::Running {
                sandbox,
                slot: Some(slot),
                ..
            } = &entry.phase
            else {
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
            let about = About {
                pod: Arc::clone(&entry.view.object),
                field: None,
            };
            let note = Note {
                warning: true,
                reason: "NetworkLinkLost",
                message: format!("Pod network link {slot} is gone, it will be plugged in again."),
            };
            self.events.record(about, note);
            // Somebody may have renamed it: then its address is free, but it is not.
            self.jobs.free(self.jobs.container_id(sandbox));
            let (sandbox, slot) = (Arc::clone(sandbox), *slot);
            remember(entry, &self.cidrs, slot);
            entry.phase = Phase::Failed {
                sandbox: Some(sandbox),
                message: String::new(),
            };
            lost.push(uid.clone());
        }
        for uid in lost {
            self.advance(&uid);
        }
    }
}

/// Where to look first for the pod's next address.
fn remember<S>(entry: &mut Entry<S>, cidrs: &NodeCidrs, slot: Slot) {
    let addresses = ipam::addresses(cidrs, slot);
    entry.last_address = addresses.and_then(|addresses| addresses.first().copied());
}
