//! What a pod's object asks of its containers' lives.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::Pace;

#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// `namespace/name(uid)`, as messages name it.
    pub pod: String,
    pub uid: String,
    /// The init containers, then the main ones, in the object's order.
    pub containers: Vec<WantedContainer>,
    /// `activeDeadlineSeconds`.
    pub deadline: Option<SignedDuration>,
    /// `terminationGracePeriodSeconds`.
    pub grace: SignedDuration,
    pub pace: Pace,
    /// Conditions that have to hold for the pod to be ready, beside its containers.
    pub gates: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedContainer {
    pub name: String,
    pub image: String,
    pub role: Role,
    pub restart: Restart,
    pub startup_probe: bool,
    pub readiness_probe: bool,
    pub post_start: bool,
    pub pre_stop: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before what comes behind it.
    Init,
    /// An init container that goes on running beside what comes behind it.
    Sidecar,
    Main,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Always,
    OnFailure,
    Never,
}

impl Restart {
    pub fn applies(self, exit_code: i32) -> bool {
        match self {
            Restart::Always => true,
            Restart::OnFailure => exit_code != 0,
            Restart::Never => false,
        }
    }
}

const DEFAULT_GRACE_SECONDS: i64 = 30;

impl Wanted {
    pub fn of(pod: &Pod, pace: Pace) -> Wanted {
        let meta = &pod.metadata;
        let uid = meta.uid.clone().unwrap_or_default();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let name = meta.name.as_deref().unwrap_or_default();
        let spec = pod.spec.clone().unwrap_or_default();
        let policy = match spec.restart_policy.as_deref() {
            Some("Never") => Restart::Never,
            Some("OnFailure") => Restart::OnFailure,
            _ => Restart::Always,
        };
        let init = spec.init_containers.iter().flatten();
        let init = init.map(|container| init_container(container, policy));
        let main = spec
            .containers
            .iter()
            .map(|container| wanted(container, Role::Main, policy));
        Wanted {
            pod: format!("{name}_{namespace}({uid})"),
            containers: init.chain(main).collect(),
            deadline: spec.active_deadline_seconds.map(SignedDuration::from_secs),
            grace: SignedDuration::from_secs(
                spec.termination_grace_period_seconds
                    .unwrap_or(DEFAULT_GRACE_SECONDS)
                    .max(0),
            ),
            pace,
            gates: spec
                .readiness_gates
                .iter()
                .flatten()
                .map(|gate| gate.condition_type.clone())
                .collect(),
            uid,
        }
    }

    /// How many of the containers are init containers.
    pub fn init_count(&self) -> usize {
        self.containers
            .iter()
            .take_while(|container| container.role != Role::Main)
            .count()
    }

    pub fn index_of(&self, container: &str) -> Option<usize> {
        self.containers.iter().position(|c| c.name == container)
    }
}

fn init_container(container: &Container, policy: Restart) -> WantedContainer {
    if container.restart_policy.as_deref() == Some("Always") {
        return wanted(container, Role::Sidecar, Restart::Always);
    }
    let restart = match policy {
        Restart::Never => Restart::Never,
        Restart::Always | Restart::OnFailure => Restart::OnFailure,
    };
    wanted(container, Role::Init, restart)
}

fn wanted(container: &Container, role: Role, restart: Restart) -> WantedContainer {
    let hooks = container.lifecycle.as_ref();
    WantedContainer {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        role,
        restart,
        startup_probe: container.startup_probe.is_some(),
        readiness_probe: container.readiness_probe.is_some(),
        post_start: hooks.is_some_and(|hooks| hooks.post_start.is_some()),
        pre_stop: hooks.is_some_and(|hooks| hooks.pre_stop.is_some()),
    }
}
