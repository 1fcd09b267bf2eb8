//! The probes of one run of a container: a task each, that ends with the run.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::notes::Notes;
use super::programs::InContainer;
use super::{Worker, spec, until};
use crate::pod::client::Pause;
use crate::pod::probe::{Answer, Check, Rhythm, Threshold, check};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Kind::Startup => container.startup_probe.as_ref(),
            Kind::Liveness => container.liveness_probe.as_ref(),
            Kind::Readiness => container.readiness_probe.as_ref(),
        }
    }

    /// How an event begins.
    fn name(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }

    pub fn failure(self) -> &'static str {
        match self {
            Kind::Startup => "failed startup probe",
            Kind::Liveness => "failed liveness probe",
            Kind::Readiness => "failed readiness probe",
        }
    }
}

/// What a row of answers came to.
pub struct Verdict {
    pub index: usize,
    pub attempt: u32,
    pub kind: Kind,
    pub good: bool,
}

/// The tasks of one run.
pub struct Probes {
    attempt: u32,
    /// The startup probe passed, or there is none.
    passed: bool,
    /// Where they ask.
    address: Option<IpAddr>,
    /// They end when this is dropped.
    _tasks: JoinSet<()>,
}

/// One probe at work.
struct Asking {
    pause: Arc<Pause>,
    container: String,
    notes: Notes,
    kind: Kind,
    rhythm: Rhythm,
    check: Check,
}

impl Worker {
    /// Have every container asked that is to be: until its startup probe has passed by that
    /// one alone.
    pub(super) fn tend_probes(&mut self) {
        for index in 0..self.life.containers.len() {
            let container = &self.life.containers[index];
            let run = container
                .running()
                .filter(|running| running.hooked && running.stop.is_none());
            let Some(running) = run else {
                self.probes[index] = None;
                continue;
            };
            let (attempt, passed, at) = (container.restarts, running.passed, running.at);
            let address = self.address();
            let as_it_should = self.probes[index].as_ref().is_some_and(|probes| {
                (probes.attempt, probes.passed, probes.address) == (attempt, passed, address)
            });
            if !as_it_should {
                let _tasks = self.begin_probes(index, attempt, passed, at);
                self.probes[index] = Some(Probes {
                    attempt,
                    passed,
                    address,
                    _tasks,
                });
            }
        }
    }

    fn begin_probes(&self, index: usize, attempt: u32, passed: bool, at: Timestamp) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (Some(container), Some(address)) = (spec(&self.pod, index), self.address()) else {
            return tasks;
        };
        let kinds: &[Kind] = match passed {
            false => &[Kind::Startup],
            true => &[Kind::Liveness, Kind::Readiness],
        };
        for kind in kinds.iter().copied() {
            let Some(probe) = kind.of(container) else {
                continue;
            };
            let verdict = Verdict {
                index,
                attempt,
                kind,
                good: false,
            };
            match self.asking(container, kind, probe, address) {
                Ok(asking) => {
                    tasks.spawn(asking.ask(at, verdict, self.verdicts.clone()));
                }
                Err(why) => self
                    .notes
                    .unhealthy(&container.name, kind.name(), "errored", &why),
            }
        }
        tasks
    }

    fn asking(
        &self,
        container: &Container,
        kind: Kind,
        probe: &Probe,
        address: IpAddr,
    ) -> Result<Asking, String> {
        Ok(Asking {
            check: Check::of_probe(probe, container, address)?,
            pause: Arc::clone(&self.pause),
            container: container.name.clone(),
            notes: self.notes.clone(),
            rhythm: Rhythm::of(probe),
            kind,
        })
    }
}

impl Asking {
    /// Asks for as long as it is polled, and says what changes.
    async fn ask(self, started: Timestamp, verdict: Verdict, verdicts: mpsc::Sender<Verdict>) {
        let delay = Duration::from_secs(self.rhythm.delay.as_secs());
        let since = until(started, Timestamp::now());
        sleep(delay.saturating_sub(since)).await;
        let mut ticks = interval(self.rhythm.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut threshold = Threshold::new(self.rhythm.success, self.rhythm.failure);
        loop {
            ticks.tick().await;
            let good = self.once().await;
            if let Some(good) = threshold.note(good) {
                let verdict = Verdict { good, ..verdict };
                if verdicts.send(verdict).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn once(&self) -> bool {
        let programs = InContainer {
            pause: &self.pause,
            container: &self.container,
        };
        let answer = check(&self.check, self.rhythm.patience, &programs).await;
        let kind = self.kind.name();
        match &answer {
            Answer::Good => {}
            Answer::Warning(why) => self.notes.probe_warning(&self.container, kind, why),
            Answer::Bad(why) => self.notes.unhealthy(&self.container, kind, "failed", why),
        }
        answer.is_good()
    }
}
