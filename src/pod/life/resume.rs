//! Going on: from what the object said last and what is there now.
//!
//! An agent that was restarted finds its containers as they are, and leaves them
//! so. If the sandbox is a new one, everything that was in the one before has
//! ended with it, and counts as a run.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus};

use super::{Container, Life, Phase, Role, Running, Terminated, Volumes, Wanted};
use crate::pod::protocol;

/// Of what was running when its sandbox ended: SIGKILL.
const LOST: i32 = 137;
const LOST_SIGNAL: i32 = 9;

/// One container as it was found.
#[derive(Clone, Debug, Default)]
pub struct Found<'a> {
    /// What the object said last.
    pub status: Option<&'a ContainerStatus>,
    /// What the sandbox says.
    pub there: Option<&'a protocol::Container>,
    /// The highest number of a run that has left a log.
    pub logged: Option<u32>,
}

impl Life {
    /// `found` is in the order of `wanted.containers`. `ended` says how a run that
    /// the sandbox remembers has ended.
    pub fn resume(
        wanted: &Wanted,
        found: &[Found<'_>],
        started: Timestamp,
        now: Timestamp,
        mut ended: impl FnMut(usize, &protocol::Container, protocol::Ended) -> Terminated,
    ) -> Life {
        let any_there = found.iter().any(|found| found.there.is_some());
        let mut containers = Vec::with_capacity(found.len());
        for (index, (rules, found)) in wanted.containers.iter().zip(found).enumerate() {
            let mut container = remembered(found);
            match found.there {
                Some(there) => {
                    container.ran = true;
                    container.restarts = there.attempt;
                    container.phase = match there.ended {
                        Some(end) => Phase::Ended(ended(index, there, end)),
                        None => Phase::Running(Running {
                            at: there.started_at,
                            hooked: true,
                            passed: !rules.startup_probe
                                || found.status.is_some_and(|status| {
                                    status.started == Some(true) && is_of(status, there)
                                }),
                            ready: !rules.readiness_probe
                                || found
                                    .status
                                    .is_some_and(|status| status.ready && is_of(status, there)),
                            image: None,
                            stop: None,
                        }),
                    };
                }
                None if container.ran => {
                    container.phase = Phase::Ended(end_of_lost(&container, found, now));
                }
                None => {}
            }
            containers.push(container);
        }
        let main_there = found
            .iter()
            .zip(&wanted.containers)
            .any(|(found, rules)| rules.role == Role::Main && found.there.is_some());
        let mut life = Life {
            containers,
            volumes: match any_there {
                true => Volumes::Ready,
                false => Volumes::Missing,
            },
            initialized: main_there,
            ending: None,
            started,
        };
        if !any_there && life.fate(wanted).is_none() {
            life.begin_again(wanted);
        }
        life
    }

    /// In a new sandbox the init containers run again.
    fn begin_again(&mut self, wanted: &Wanted) {
        for (container, rules) in self.containers.iter_mut().zip(&wanted.containers) {
            if rules.role != Role::Init {
                continue;
            }
            if let Phase::Ended(end) = &mut container.phase {
                end.again = true;
            }
        }
    }
}

fn is_of(status: &ContainerStatus, there: &protocol::Container) -> bool {
    u32::try_from(status.restart_count) == Ok(there.attempt)
}

/// What is known of it beside what is there now.
fn remembered(found: &Found<'_>) -> Container {
    let mut container = Container::new();
    if let Some(status) = found.status {
        container.restarts = u32::try_from(status.restart_count).unwrap_or(0);
        let state = status.state.as_ref();
        let before = terminated(
            status.last_state.as_ref(),
            container.restarts.saturating_sub(1),
        );
        let waits = state.is_none_or(|state| state.running.is_none() && state.terminated.is_none());
        container.ran = !waits || before.is_some();
        container.image_id.clone_from(&status.image_id);
        container.last = match found.there {
            Some(there) if !is_of(status, there) => {
                terminated(state, container.restarts).or(before)
            }
            _ => before,
        };
    }
    if let Some(logged) = found.logged
        && (!container.ran || logged > container.restarts)
    {
        container.ran = true;
        container.restarts = logged;
    }
    container
}

/// How the latest run ended, of which the sandbox knows nothing any more.
fn end_of_lost(container: &Container, found: &Found<'_>, now: Timestamp) -> Terminated {
    let attempt = container.restarts;
    let status = found
        .status
        .filter(|status| u32::try_from(status.restart_count) == Ok(attempt));
    let state = status.and_then(|status| status.state.as_ref());
    if let Some(end) = terminated(state, attempt) {
        return end;
    }
    let running = state.and_then(|state| state.running.as_ref());
    if running.is_none()
        && let Some(last) = &container.last
    {
        // It was waiting for its next start.
        return last.clone();
    }
    let started = running.and_then(|running| running.started_at.as_ref());
    Terminated {
        attempt,
        exit_code: LOST,
        signal: Some(LOST_SIGNAL),
        reason: "Error".to_owned(),
        message: Some("its sandbox ended, and it with it".to_owned()),
        started_at: started.map(|time| time.0),
        finished_at: now,
        again: false,
    }
}

fn terminated(state: Option<&ContainerState>, attempt: u32) -> Option<Terminated> {
    let end: &ContainerStateTerminated = state?.terminated.as_ref()?;
    Some(Terminated {
        attempt,
        exit_code: end.exit_code,
        signal: end.signal.filter(|signal| *signal != 0),
        reason: end.reason.clone().unwrap_or_default(),
        message: end.message.clone(),
        started_at: end.started_at.as_ref().map(|time| time.0),
        finished_at: end.finished_at.as_ref()?.0,
        again: false,
    })
}
