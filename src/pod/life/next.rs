//! What to do now, and when to look again.

use jiff::{SignedDuration, Timestamp};

use super::back_off::later;
use super::{Ending, Life, Phase, Role, Stop, Volumes, Wanted};

/// What a container gets between the end of a preStop hook that took too long
/// and SIGKILL (`minimumGracePeriodInSeconds` in kuberuntime_container.go).
const LEAST_GRACE: SignedDuration = SignedDuration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    PrepareVolumes,
    /// Find the image, then start the container's next run.
    Start(usize),
    /// Run the preStop hook if there is one, then send SIGTERM.
    Stop(usize),
    /// Send SIGTERM: the hook had its time.
    Terminate(usize),
    Kill(usize),
    /// Say that the container's next start waits.
    CrashBackOff(usize),
    /// Say that the container's next pull waits.
    PullBackOff(usize),
    /// Say that the pod has had its time.
    DeadlineExceeded,
}

pub(super) struct Look {
    pub now: Timestamp,
    pub actions: Vec<Action>,
    /// Look again then at the latest.
    pub again: Option<Timestamp>,
}

impl Look {
    fn wait(&mut self, until: Timestamp) {
        self.again = Some(self.again.map_or(until, |before| before.min(until)));
    }
}

impl Life {
    /// What to do now; and when to ask again if nothing happens before, `None`: never.
    /// What it answers counts as being done.
    pub fn next(&mut self, wanted: &Wanted, now: Timestamp) -> (Vec<Action>, Option<Timestamp>) {
        let mut look = Look {
            now,
            actions: Vec::new(),
            again: None,
        };
        self.see_deadline(wanted, &mut look);
        match self.ending {
            Some(Ending::Deleted { by } | Ending::Deadline { by }) => {
                self.wind_down(wanted, by, &mut look);
            }
            None => match self.fate(wanted) {
                Some(_) => self.wind_down(wanted, later(now, wanted.grace), &mut look),
                None => self.live(wanted, &mut look),
            },
        }
        self.press(&mut look);
        (look.actions, look.again)
    }

    /// Nothing runs any more, and nothing will.
    pub fn is_over(&self, wanted: &Wanted) -> bool {
        let idle = self.containers.iter().all(|container| container.is_idle());
        idle && (self.ending.is_some() || self.fate(wanted).is_some())
    }

    /// Whether the pod has come to its own end, and if so whether it went well.
    pub(super) fn fate(&self, wanted: &Wanted) -> Option<bool> {
        let mut went_well = true;
        for (container, rules) in self.containers.iter().zip(&wanted.containers) {
            let ended = container.ended();
            let for_good = ended.filter(|end| !end.again && !rules.restart.applies(end.exit_code));
            match rules.role {
                Role::Init if for_good.is_some_and(|end| end.exit_code != 0) => return Some(false),
                Role::Init | Role::Sidecar => {}
                Role::Main => went_well &= for_good?.exit_code == 0,
            }
        }
        Some(went_well)
    }

    fn see_deadline(&mut self, wanted: &Wanted, look: &mut Look) {
        if self.ending.is_some() || self.fate(wanted).is_some() {
            return;
        }
        let Some(end) = wanted.deadline.map(|after| later(self.started, after)) else {
            return;
        };
        if look.now < end {
            return look.wait(end);
        }
        look.actions.push(Action::DeadlineExceeded);
        let by = later(look.now, wanted.grace);
        self.ending = Some(Ending::Deadline { by });
    }

    fn live(&mut self, wanted: &Wanted, look: &mut Look) {
        match self.volumes {
            Volumes::Ready => {}
            Volumes::UnderWay => return,
            Volumes::Failed(again) if look.now < again => return look.wait(again),
            Volumes::Missing | Volumes::Failed(_) => {
                self.volumes = Volumes::UnderWay;
                return look.actions.push(Action::PrepareVolumes);
            }
        }
        let init = wanted.init_count();
        for index in 0..init {
            let role = wanted.containers[index].role;
            if role == Role::Init && (self.initialized || self.has_succeeded(index)) {
                continue;
            }
            self.keep(wanted, index, look);
            let passed = self.containers[index]
                .running()
                .is_some_and(|running| role == Role::Sidecar && running.is_started());
            if !self.initialized && !passed {
                return;
            }
        }
        self.initialized = true;
        for index in init..wanted.containers.len() {
            self.keep(wanted, index, look);
        }
    }

    pub(super) fn has_succeeded(&self, index: usize) -> bool {
        let ended = self.containers[index].ended();
        ended.is_some_and(|end| end.exit_code == 0 && !end.again)
    }

    /// Have it run, when its time has come.
    fn keep(&mut self, wanted: &Wanted, index: usize, look: &mut Look) {
        let rules = &wanted.containers[index];
        let container = &mut self.containers[index];
        match &mut container.phase {
            Phase::Waiting(Some(trouble)) if look.now < trouble.again => {
                if trouble.backing_off {
                    return look.wait(trouble.again);
                }
                if look.now < trouble.shown_until {
                    return look.wait(trouble.shown_until);
                }
                trouble.backing_off = true;
                if trouble.is_of_image() {
                    look.actions.push(Action::PullBackOff(index));
                }
                look.wait(trouble.again);
            }
            Phase::Waiting(_) => {
                container.phase = Phase::Starting { before: None };
                look.actions.push(Action::Start(index));
            }
            Phase::Ended(end) if end.again || rules.restart.applies(end.exit_code) => {
                let due = container.crashes.due(end.finished_at, wanted.pace);
                if look.now < due {
                    if !container.back_off_told {
                        container.back_off_told = true;
                        look.actions.push(Action::CrashBackOff(index));
                    }
                    return look.wait(due);
                }
                container
                    .crashes
                    .step(end.finished_at, look.now, wanted.pace);
                container.back_off_told = false;
                let before = Some(end.clone());
                container.phase = Phase::Starting { before };
                look.actions.push(Action::Start(index));
            }
            Phase::Starting { .. } | Phase::Running(_) | Phase::Ended(_) => {}
        }
    }

    /// Everything stops: the sidecars behind the others, the last one first.
    fn wind_down(&mut self, wanted: &Wanted, by: Timestamp, look: &mut Look) {
        let is_sidecar = |index: &usize| wanted.containers[*index].role == Role::Sidecar;
        let mut others_run = false;
        for index in (0..self.containers.len()).filter(|index| !is_sidecar(index)) {
            others_run |= !self.containers[index].is_idle();
            self.stop(wanted, index, by, look);
        }
        if others_run {
            return;
        }
        for index in (0..self.containers.len()).rev().filter(is_sidecar) {
            if !self.containers[index].is_idle() {
                let by = by.max(later(look.now, LEAST_GRACE));
                return self.stop(wanted, index, by, look);
            }
        }
    }

    fn stop(&mut self, wanted: &Wanted, index: usize, by: Timestamp, look: &mut Look) {
        let pre_stop = wanted.containers[index].pre_stop;
        let Some(running) = self.containers[index].running_mut() else {
            return;
        };
        match &mut running.stop {
            // Its time can only get shorter.
            Some(stop) if self.ending.is_some() => stop.by = stop.by.min(by),
            Some(_) => {}
            None => {
                running.stop = Some(Stop {
                    asked: !pre_stop,
                    by,
                    killed: false,
                    again: false,
                });
                look.actions.push(Action::Stop(index));
            }
        }
    }

    /// What was asked to end and has had its time.
    fn press(&mut self, look: &mut Look) {
        for (index, container) in self.containers.iter_mut().enumerate() {
            let Some(stop) = container.running_mut().and_then(|r| r.stop.as_mut()) else {
                continue;
            };
            if stop.killed {
                continue;
            }
            if look.now < stop.by {
                look.wait(stop.by);
            } else if stop.asked {
                stop.killed = true;
                look.actions.push(Action::Kill(index));
            } else {
                stop.asked = true;
                stop.by = later(look.now, LEAST_GRACE);
                look.actions.push(Action::Terminate(index));
                look.wait(stop.by);
            }
        }
    }
}
