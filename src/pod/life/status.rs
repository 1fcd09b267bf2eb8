//! What the object's status says of the containers
//! (`convertToAPIContainerStatuses` and status/generate.go in pkg/kubelet).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, PodCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Container, Ending, Life, Phase, Role, Terminated, Wanted};
use crate::cluster::ContainersReport;

/// What the conditions say before: their times are kept while they stand.
pub type Before<'a> = &'a [PodCondition];

impl Life {
    /// `Pending`, `Running`, `Succeeded` or `Failed`.
    pub fn phase(&self, wanted: &Wanted) -> &'static str {
        let settled = |went_well| if went_well { "Succeeded" } else { "Failed" };
        if self.is_over(wanted) {
            return match self.ending {
                Some(Ending::Deadline { .. }) => "Failed",
                Some(Ending::Deleted { .. }) => settled(self.all_went_well(wanted)),
                None => settled(self.fate(wanted).unwrap_or(false)),
            };
        }
        let main = self.containers.iter().skip(wanted.init_count());
        let some_never_ran = main.clone().any(|container| !container.ran);
        match !self.initialized || some_never_ran {
            true => "Pending",
            false => "Running",
        }
    }

    fn all_went_well(&self, wanted: &Wanted) -> bool {
        let mut main = self.containers.iter().skip(wanted.init_count());
        main.all(|container| container.ended().is_some_and(|end| end.exit_code == 0))
    }

    /// `before`: the conditions as they stand, the other writers' among them.
    pub fn report(&self, wanted: &Wanted, before: Before<'_>, now: Timestamp) -> ContainersReport {
        let init = wanted.init_count();
        let mut init_containers: Vec<ContainerStatus> = (0..wanted.containers.len())
            .map(|index| self.status(wanted, index))
            .collect();
        let containers = init_containers.split_off(init);
        let deadline = matches!(self.ending, Some(Ending::Deadline { .. }));
        let phase = self.phase(wanted);
        let exceeded = deadline && phase == "Failed";
        ContainersReport {
            phase,
            reason: exceeded.then(|| "DeadlineExceeded".to_owned()),
            message: exceeded.then(|| {
                "Pod was active on the node longer than the specified deadline".to_owned()
            }),
            conditions: self.conditions(wanted, phase, before, now),
            init_containers,
            containers,
        }
    }

    fn status(&self, wanted: &Wanted, index: usize) -> ContainerStatus {
        let rules = &wanted.containers[index];
        let container = &self.containers[index];
        let id = |attempt| container_id(&wanted.uid, &rules.name, attempt);
        let running = container.running();
        let (state, last) = self.states(wanted, index, &id);
        let ready = match rules.role {
            Role::Init => self.has_succeeded(index),
            Role::Sidecar | Role::Main => running.is_some_and(|running| running.is_ready()),
        };
        ContainerStatus {
            name: rules.name.clone(),
            image: rules.image.clone(),
            image_id: container.image_id.clone(),
            container_id: container.ran.then(|| id(container.restarts)),
            ready,
            started: Some(running.is_some_and(|running| running.is_started())),
            restart_count: i32::try_from(container.restarts).unwrap_or(i32::MAX),
            state: Some(state),
            last_state: Some(last),
            ..ContainerStatus::default()
        }
    }

    fn states(
        &self,
        wanted: &Wanted,
        index: usize,
        id: &dyn Fn(u32) -> String,
    ) -> (ContainerState, ContainerState) {
        let container = &self.containers[index];
        let last = container.last.as_ref();
        let ended = |end: Option<&Terminated>| {
            end.map_or_else(ContainerState::default, |end| terminated(end, id))
        };
        match &container.phase {
            Phase::Running(running) => (
                ContainerState {
                    running: Some(ContainerStateRunning {
                        started_at: Some(seconds(running.at)),
                    }),
                    ..ContainerState::default()
                },
                ended(last),
            ),
            Phase::Ended(end) if self.waits_for_restart(wanted, index) => {
                (crash_loop(wanted, index, container), ended(Some(end)))
            }
            Phase::Ended(end) | Phase::Starting { before: Some(end) } => {
                (ended(Some(end)), ended(last))
            }
            Phase::Waiting(Some(trouble)) => {
                let image = &wanted.containers[index].image;
                let (reason, message) = match trouble.backing_off && trouble.is_of_image() {
                    true => (
                        "ImagePullBackOff",
                        format!(
                            "Back-off pulling image {image:?}: {}: {}",
                            trouble.reason, trouble.message
                        ),
                    ),
                    false => (trouble.reason.as_str(), trouble.message.clone()),
                };
                (waiting(reason, Some(message)), ended(last))
            }
            Phase::Waiting(None) | Phase::Starting { before: None } => {
                let behind_init = wanted.containers[index].role == Role::Main
                    && wanted.init_count() > 0
                    && !self.initialized;
                let reason = match behind_init {
                    true => "PodInitializing",
                    false => "ContainerCreating",
                };
                (waiting(reason, None), ended(last))
            }
        }
    }

    fn waits_for_restart(&self, wanted: &Wanted, index: usize) -> bool {
        let container = &self.containers[index];
        self.ending.is_none() && container.back_off_told && self.fate(wanted).is_none()
    }

    fn conditions(
        &self,
        wanted: &Wanted,
        phase: &str,
        before: Before<'_>,
        now: Timestamp,
    ) -> Vec<PodCondition> {
        let init = wanted.init_count();
        let names = |indexes: &mut dyn Iterator<Item = usize>| {
            let names: Vec<&str> = indexes
                .map(|i| wanted.containers[i].name.as_str())
                .collect();
            (!names.is_empty()).then(|| names.join(" "))
        };
        let not_initialized = (0..init).filter(|index| {
            !self.initialized
                && match wanted.containers[*index].role {
                    Role::Init => !self.has_succeeded(*index),
                    _ => !self.containers[*index]
                        .running()
                        .is_some_and(|r| r.is_started()),
                }
        });
        let initialized = match names(&mut not_initialized.into_iter()) {
            _ if phase == "Succeeded" => Ok(Some("PodCompleted")),
            None => Ok(None),
            Some(names) => Err((
                "ContainersNotInitialized",
                Some(format!("containers with incomplete status: [{names}]")),
            )),
        };
        let unready = (0..wanted.containers.len()).filter(|index| {
            let counts = wanted.containers[*index].role != Role::Init;
            let running = self.containers[*index].running();
            counts && !running.is_some_and(|running| running.is_ready())
        });
        let containers_ready = match (phase, names(&mut unready.into_iter())) {
            ("Succeeded", _) => Err(("PodCompleted", None)),
            ("Failed", _) => Err(("PodFailed", None)),
            (_, None) => Ok(None),
            (_, Some(names)) => Err((
                "ContainersNotReady",
                Some(format!("containers with unready status: [{names}]")),
            )),
        };
        let shut = wanted.gates.iter().find(|gate| {
            let condition = before.iter().find(|condition| condition.type_ == **gate);
            condition.is_none_or(|condition| condition.status != "True")
        });
        let ready = match (&containers_ready, shut) {
            (Ok(_), Some(gate)) => Err((
                "ReadinessGatesNotReady",
                Some(format!(
                    "the status of pod readiness gate {gate:?} is not \"True\""
                )),
            )),
            _ => containers_ready.clone(),
        };
        let sandbox = match phase {
            "Succeeded" | "Failed" => Err(("", None)),
            _ => Ok(None),
        };
        [
            ("PodReadyToStartContainers", sandbox),
            ("Initialized", initialized),
            ("Ready", ready),
            ("ContainersReady", containers_ready),
        ]
        .into_iter()
        .map(|(kind, holds)| condition(kind, holds, before, now))
        .collect()
    }
}

type Holds = Result<Option<&'static str>, (&'static str, Option<String>)>;

fn condition(kind: &str, holds: Holds, before: Before<'_>, now: Timestamp) -> PodCondition {
    let status = if holds.is_ok() { "True" } else { "False" };
    let (reason, message) = match holds {
        Ok(reason) => (reason, None),
        Err((reason, message)) => (Some(reason), message),
    };
    let before = before.iter().find(|condition| condition.type_ == kind);
    let stood = before.filter(|condition| condition.status == status);
    let since = stood.and_then(|condition| condition.last_transition_time.clone());
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason
            .filter(|reason| !reason.is_empty())
            .map(str::to_owned),
        message,
        last_transition_time: Some(since.unwrap_or_else(|| seconds(now))),
        ..PodCondition::default()
    }
}

/// A name that no other run of any container has had.
pub fn container_id(uid: &str, container: &str, attempt: u32) -> String {
    format!("podnet://{uid}-{container}-{attempt}")
}

/// As a pause is said: `10s`, `1m20s`, `5m0s`; below a second, `150ms`.
pub fn said(pause: SignedDuration) -> String {
    let seconds = pause.as_secs();
    match seconds {
        ..1 => format!("{}ms", pause.as_millis()),
        1..60 => format!("{seconds}s"),
        _ => format!("{}m{}s", seconds / 60, seconds % 60),
    }
}

fn crash_loop(wanted: &Wanted, index: usize, container: &Container) -> ContainerState {
    let pause = said(container.crashes.pause());
    let name = &wanted.containers[index].name;
    let message = format!(
        "back-off {pause} restarting failed container={name} pod={}",
        wanted.pod
    );
    waiting("CrashLoopBackOff", Some(message))
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message,
        }),
        ..ContainerState::default()
    }
}

fn terminated(end: &Terminated, id: &dyn Fn(u32) -> String) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(id(end.attempt)),
            exit_code: end.exit_code,
            signal: end.signal,
            reason: Some(end.reason.clone()),
            message: end.message.clone(),
            started_at: Some(seconds(end.started_at.unwrap_or(end.finished_at))),
            finished_at: Some(seconds(end.finished_at)),
        }),
        ..ContainerState::default()
    }
}

/// Kubernetes' times have whole seconds.
fn seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
