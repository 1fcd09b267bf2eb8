//! What happens to containers, as it becomes known.

use jiff::{SignedDuration, Timestamp};

use super::back_off::later;
use super::{BackOff, Ending, Life, Phase, Running, Stop, Terminated, Trouble, Volumes, Wanted};

/// The exit code of a container whose program could not be started.
const NOT_STARTED: i32 = 128;
/// How long a failure shows as itself before it shows as waiting for the next try.
const SHOWN: SignedDuration = SignedDuration::from_secs(2);
const VOLUME_PAUSE: SignedDuration = SignedDuration::from_secs(2);

impl Trouble {
    pub(super) fn is_of_image(&self) -> bool {
        self.reason == "ErrImagePull"
    }
}

impl Life {
    pub fn volumes_prepared(&mut self) {
        self.volumes = Volumes::Ready;
    }

    pub fn volumes_failed(&mut self, now: Timestamp) {
        self.volumes = Volumes::Failed(later(now, VOLUME_PAUSE));
    }

    /// Run `attempt` is there. Answers whether that was news: heard of twice, or late, it
    /// changes nothing.
    pub fn started(&mut self, wanted: &Wanted, index: usize, attempt: u32, at: Timestamp) -> bool {
        let rules = &wanted.containers[index];
        let container = &mut self.containers[index];
        if attempt != container.next_attempt() {
            return false;
        }
        let before = match &mut container.phase {
            Phase::Starting { before } => before.take(),
            // An earlier agent had it started, and this one's start was refused for that.
            Phase::Waiting(_) => None,
            Phase::Running(_) | Phase::Ended(_) => return false,
        };
        container.last = before.or(container.last.take());
        container.restarts = attempt;
        container.ran = true;
        container.pulls = BackOff::default();
        container.phase = Phase::Running(Running {
            at,
            hooked: !rules.post_start,
            passed: !rules.startup_probe,
            ready: !rules.readiness_probe,
            image: Some(rules.image.clone()),
            stop: None,
        });
        true
    }

    /// It could not be made: `reason` says why in one word.
    pub fn refused(
        &mut self,
        wanted: &Wanted,
        index: usize,
        now: Timestamp,
        reason: &str,
        message: String,
    ) {
        let container = &mut self.containers[index];
        let Phase::Starting { before } = &mut container.phase else {
            return;
        };
        if let Some(before) = before.take() {
            container.last = Some(before);
        }
        let pause = container.pulls.step(now, now, wanted.pace);
        container.phase = Phase::Waiting(Some(Trouble {
            reason: reason.to_owned(),
            message,
            again: later(now, pause),
            shown_until: later(now, SHOWN.min(pause / 2)),
            backing_off: false,
        }));
    }

    /// Its program could not be started: that was a run, and it has failed.
    pub fn start_failed(&mut self, wanted: &Wanted, index: usize, now: Timestamp, why: String) {
        let attempt = self.containers[index].next_attempt();
        self.started(wanted, index, attempt, now);
        self.ended(
            index,
            Terminated {
                attempt,
                exit_code: NOT_STARTED,
                signal: None,
                reason: "StartError".to_owned(),
                message: Some(why),
                started_at: None,
                finished_at: now,
                again: false,
            },
        );
    }

    /// Run `end.attempt` is over. Answers whether that was news.
    pub fn ended(&mut self, index: usize, mut end: Terminated) -> bool {
        let container = &mut self.containers[index];
        let Phase::Running(running) = &container.phase else {
            return false;
        };
        if container.restarts != end.attempt {
            return false;
        }
        end.again = running.stop.as_ref().is_some_and(|stop| stop.again);
        container.phase = Phase::Ended(end);
        true
    }

    /// The postStart hook of run `attempt` is through.
    pub fn hooked(&mut self, index: usize, attempt: u32) {
        if let Some(running) = self.run_mut(index, attempt) {
            running.hooked = true;
        }
    }

    /// The startup probe has passed.
    pub fn passed(&mut self, index: usize, attempt: u32) {
        if let Some(running) = self.run_mut(index, attempt) {
            running.passed = true;
        }
    }

    pub fn readiness(&mut self, index: usize, attempt: u32, ready: bool) {
        if let Some(running) = self.run_mut(index, attempt) {
            running.ready = ready;
        }
    }

    /// The preStop hook of run `attempt` is through. Answers whether SIGTERM is to be sent
    /// now: not if the run is over, or has had it because the hook took too long.
    pub fn hook_over(&mut self, index: usize, attempt: u32, now: Timestamp) -> bool {
        let running = self.run_mut(index, attempt);
        let Some(stop) = running.and_then(|running| running.stop.as_mut()) else {
            return false;
        };
        stop.by = stop.by.max(now);
        !std::mem::replace(&mut stop.asked, true)
    }

    /// It has to end: a probe or its postStart hook failed. Its restart policy says what
    /// comes then. Answers whether it is to be stopped now: its preStop hook, then SIGTERM.
    pub fn condemn(&mut self, wanted: &Wanted, index: usize, attempt: u32, by: Timestamp) -> bool {
        self.stop_one(wanted, index, attempt, by, false)
    }

    /// The object names another image for it. Answers the containers to be stopped now.
    pub fn replaced_images(&mut self, wanted: &Wanted, now: Timestamp) -> Vec<usize> {
        let by = later(now, wanted.grace);
        let changed = |index: &usize| {
            let running = self.containers[*index].running();
            let image = running.and_then(|running| running.image.as_deref());
            image.is_some_and(|image| image != wanted.containers[*index].image)
        };
        let changed: Vec<usize> = (0..self.containers.len()).filter(changed).collect();
        changed
            .into_iter()
            .filter(|index| {
                let attempt = self.containers[*index].restarts;
                self.stop_one(wanted, *index, attempt, by, true)
            })
            .collect()
    }

    /// The object is being deleted. Later calls can only bring the end nearer.
    pub fn delete(&mut self, by: Timestamp) {
        let by = match self.ending {
            Some(Ending::Deleted { by: before } | Ending::Deadline { by: before }) => {
                before.min(by)
            }
            None => by,
        };
        self.ending = Some(match self.ending {
            Some(Ending::Deadline { .. }) => Ending::Deadline { by },
            _ => Ending::Deleted { by },
        });
    }

    fn stop_one(
        &mut self,
        wanted: &Wanted,
        index: usize,
        attempt: u32,
        by: Timestamp,
        again: bool,
    ) -> bool {
        let asked = !wanted.containers[index].pre_stop;
        let Some(running) = self.run_mut(index, attempt) else {
            return false;
        };
        if running.stop.is_some() {
            return false;
        }
        running.stop = Some(Stop {
            asked,
            by,
            killed: false,
            again,
        });
        true
    }

    fn run_mut(&mut self, index: usize, attempt: u32) -> Option<&mut Running> {
        let container = self.containers.get_mut(index)?;
        match container.restarts == attempt {
            true => container.running_mut(),
            false => None,
        }
    }
}
