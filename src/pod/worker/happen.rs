//! What a worker makes of what happens.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use super::probes::{Kind, Verdict};
use super::start::{Made, Refused};
use super::{Done, Worker, files, hooks, spec};
use crate::pod::life::{Terminated, Wanted};
use crate::pod::protocol;

impl Worker {
    pub(super) fn on_object(&mut self) {
        let pod = Arc::clone(&self.tending.assignment.borrow_and_update().pod);
        let wanted = Wanted::of(&pod, self.node.pace);
        if wanted.containers.len() != self.wanted.containers.len() {
            return warn!("pod {}: its containers changed in number", wanted.pod);
        }
        let now = Timestamp::now();
        if pod.metadata.deletion_timestamp.is_some() {
            let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            let grace = SignedDuration::from_secs(seconds.max(0));
            self.life
                .delete(now.checked_add(grace).unwrap_or(Timestamp::MAX));
        }
        self.notes.about(Arc::clone(&pod));
        self.pod = pod;
        self.wanted = wanted;
        self.refresh();
        for index in self.life.replaced_images(&self.wanted, now) {
            self.notes
                .image_changed(&self.wanted.containers[index].name);
            self.stop(index);
        }
    }

    pub(super) fn on_change(&mut self, container: &protocol::Container) {
        let Some(index) = self.wanted.index_of(&container.name) else {
            return;
        };
        self.on_running(index, container.attempt, container.started_at);
        if let Some(end) = container.ended {
            let end = files::terminated(&self.dir, spec(&self.pod, index), container, end);
            self.on_ended(index, end);
        }
    }

    fn on_running(&mut self, index: usize, attempt: u32, at: Timestamp) {
        if !self.life.started(&self.wanted, index, attempt, at) {
            return;
        }
        let Some(hook) = self.hook(index, |hooks| hooks.post_start.as_ref()) else {
            return self.life.hooked(index, attempt);
        };
        let pause = Arc::clone(&self.pause);
        let name = self.wanted.containers[index].name.clone();
        self.jobs.spawn(async move {
            Done::PostStart {
                index,
                attempt,
                result: hooks::run(hook, &pause, &name).await,
            }
        });
    }

    fn on_ended(&mut self, index: usize, end: Terminated) {
        if self.life.ended(index, end) {
            self.probes[index] = None;
        }
    }

    pub(super) fn on_done(&mut self, done: Done) {
        let now = Timestamp::now();
        match done {
            Done::Volumes(Ok(())) => self.life.volumes_prepared(),
            Done::Volumes(Err(failure)) => {
                self.notes.mount_failed(&failure.message);
                self.life.volumes_failed(now);
            }
            Done::Started {
                index,
                attempt,
                result,
            } => self.on_start(index, attempt, result, now),
            Done::PostStart {
                index,
                attempt,
                result,
            } => match result {
                Ok(()) => self.life.hooked(index, attempt),
                Err(why) => {
                    let name = &self.wanted.containers[index].name;
                    self.notes
                        .hook_failed(name, "FailedPostStartHook", "PostStartHook", &why);
                    self.condemn(index, attempt, None, "failed postStart hook");
                }
            },
            Done::PreStop { index, attempt } => {
                if self.life.hook_over(index, attempt, now) {
                    self.signal(index, hooks::TERM);
                }
            }
            Done::Signalled | Done::Refreshed(Ok(())) => {}
            Done::Refreshed(Err(failure)) => self.notes.mount_failed(&failure.message),
        }
    }

    fn on_start(
        &mut self,
        index: usize,
        attempt: u32,
        result: Result<Made, Refused>,
        now: Timestamp,
    ) {
        self.starting = self.starting.saturating_sub(1);
        match result {
            Ok(made) => {
                self.life.containers[index].image_id = made.image_id;
                self.on_running(index, attempt, made.at);
            }
            Err(Refused::NotMade(failure)) => {
                let (reason, message) = (failure.reason, failure.message);
                self.life.refused(&self.wanted, index, now, reason, message);
            }
            Err(Refused::NotStarted(why)) => {
                self.life.start_failed(&self.wanted, index, now, why);
            }
            // The sandbox has ended; that is heard of.
            Err(Refused::Gone) => {}
        }
    }

    pub(super) fn on_verdict(&mut self, verdict: Verdict) {
        let Verdict {
            index,
            attempt,
            kind,
            good,
        } = verdict;
        match (kind, good) {
            (Kind::Readiness, ready) => self.life.readiness(index, attempt, ready),
            (Kind::Startup, true) => self.life.passed(index, attempt),
            (Kind::Liveness, true) => {}
            (Kind::Startup | Kind::Liveness, false) => {
                let probe = spec(&self.pod, index).and_then(|spec| kind.of(spec));
                let grace = probe.and_then(|probe| probe.termination_grace_period_seconds);
                self.condemn(index, attempt, grace, kind.failure());
            }
        }
    }

    /// It has to end, within `grace` seconds or its pod's own.
    fn condemn(&mut self, index: usize, attempt: u32, grace: Option<i64>, why: &str) {
        let grace = grace.map_or(self.wanted.grace, SignedDuration::from_secs);
        let now = Timestamp::now();
        let by = now.checked_add(grace).unwrap_or(Timestamp::MAX);
        if self.life.condemn(&self.wanted, index, attempt, by) {
            let name = &self.wanted.containers[index].name;
            self.notes.condemned(name, why);
            self.stop(index);
        }
    }
}
