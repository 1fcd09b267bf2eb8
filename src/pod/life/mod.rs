//! The life of a pod's containers, decided without doing anything.
//!
//! [`Wanted`] is what the object asks for, [`Life`] what is known of the
//! containers. Whoever carries it out tells [`Life`] what happened and asks
//! [`Life::next`] what to do now and when to ask again; what is to be done is
//! noted at once, so it is never asked for twice. [`Life::report`] is what the
//! object's status says of it.
//!
//! Invariants: a container has one run at most; its restart count never falls;
//! nothing starts once the pod is to end; a main container starts only behind
//! every init container. The order and the figures are the kubelet's
//! (`computePodActions`, `doBackOff`, `killContainer` in pkg/kubelet/kuberuntime).

mod back_off;
mod happen;
mod next;
mod resume;
mod status;
#[cfg(test)]
mod tests;
mod wanted;

pub use back_off::{BackOff, Pace};
pub use next::Action;
pub use resume::Found;
pub use status::Before;
pub use wanted::{Restart, Role, Wanted, WantedContainer};

use jiff::Timestamp;

/// What is known of a pod's containers.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// In the order of [`Wanted::containers`].
    pub containers: Vec<Container>,
    pub volumes: Volumes,
    /// Every init container has done its part once.
    pub initialized: bool,
    pub ending: Option<Ending>,
    /// The pod's `status.startTime`.
    pub started: Timestamp,
}

/// What has to be there before any container starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Volumes {
    Missing,
    UnderWay,
    Ready,
    /// Another try at that time.
    Failed(Timestamp),
}

/// Why the whole pod is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its object is being deleted; by then it is to be over.
    Deleted { by: Timestamp },
    /// `activeDeadlineSeconds` are over.
    Deadline { by: Timestamp },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// The number of the latest run; 0 too if there was none.
    pub restarts: u32,
    /// Whether there was one.
    pub ran: bool,
    pub phase: Phase,
    /// How the run before the latest ended.
    pub last: Option<Terminated>,
    pub crashes: BackOff,
    pub pulls: BackOff,
    /// Whether it was said that its next start waits.
    pub back_off_told: bool,
    /// The image of the latest run.
    pub image_id: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Nothing of it is there; `Some`: because of this.
    Waiting(Option<Trouble>),
    /// It is being started; `before` is how the latest run ended.
    Starting {
        before: Option<Terminated>,
    },
    Running(Running),
    Ended(Terminated),
}

/// Why a container could not even be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// `ErrImagePull`, `CreateContainerConfigError`, …
    pub reason: String,
    pub message: String,
    /// When to try again.
    pub again: Timestamp,
    /// From then on it shows as waiting for that, not as a failure just now.
    pub shown_until: Timestamp,
    /// It does show so.
    pub backing_off: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    pub at: Timestamp,
    /// The postStart hook is through, or there is none.
    pub hooked: bool,
    /// The startup probe has passed, or there is none.
    pub passed: bool,
    /// The readiness probe passes, or there is none.
    pub ready: bool,
    /// The image it was started from, as the object named it. `None`: an earlier agent did.
    pub image: Option<String>,
    pub stop: Option<Stop>,
}

impl Running {
    /// What `started` in the status says, and what the next container waits for
    /// where this one is a sidecar.
    pub fn is_started(&self) -> bool {
        self.hooked && self.passed
    }

    pub fn is_ready(&self) -> bool {
        self.is_started() && self.ready
    }
}

/// A container that is on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// SIGTERM was sent: its preStop hook is through, or there is none.
    pub asked: bool,
    /// When its patience ends.
    pub by: Timestamp,
    pub killed: bool,
    /// It is started again whatever its restart policy says.
    pub again: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Terminated {
    pub attempt: u32,
    pub exit_code: i32,
    pub signal: Option<i32>,
    /// `Completed`, `Error`, `StartError`, …
    pub reason: String,
    pub message: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
    /// Started again whatever its restart policy says.
    pub again: bool,
}

impl Container {
    pub fn new() -> Container {
        Container {
            restarts: 0,
            ran: false,
            phase: Phase::Waiting(None),
            last: None,
            crashes: BackOff::default(),
            pulls: BackOff::default(),
            back_off_told: false,
            image_id: String::new(),
        }
    }

    /// The number of the run that is being started, or is started next.
    pub fn next_attempt(&self) -> u32 {
        self.restarts + u32::from(self.ran)
    }

    pub fn running(&self) -> Option<&Running> {
        match &self.phase {
            Phase::Running(running) => Some(running),
            _ => None,
        }
    }

    fn running_mut(&mut self) -> Option<&mut Running> {
        match &mut self.phase {
            Phase::Running(running) => Some(running),
            _ => None,
        }
    }

    fn ended(&self) -> Option<&Terminated> {
        match &self.phase {
            Phase::Ended(terminated) => Some(terminated),
            _ => None,
        }
    }

    /// Neither runs nor is about to.
    fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Waiting(_) | Phase::Ended(_))
    }
}

impl Default for Container {
    fn default() -> Container {
        Container::new()
    }
}
