//! Deployments: a replica set for each template they had, and pods moved from the old ones to the
//! new one a few at a time.
//!
//! What to do is decided by `plan` (sizes), `revision` (which replica set is the new one, and what it
//! is called) and `status`; here it is done.

mod plan;
mod revision;
mod status;

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use super::workload::{AGAIN, Dependent, Kind, Outcome, Workload, number};
use super::{note, write};
use crate::server::kinds::deployment::DEPLOYMENTS;
use crate::server::kinds::pod::{self, PODS};
use crate::server::kinds::replica_set::REPLICA_SETS;
use crate::server::object;
use crate::server::store::{Event, EventKind, Store, StoredObject};
use plan::{Limits, Set};

pub static KIND: Kind = Kind {
    workloads: &DEPLOYMENTS,
    dependents: &REPLICA_SETS,
    component: "deployment-controller",
    other: Some((&PODS, of_ended_pod)),
    sync,
};

const HASH: &str = "pod-template-hash";

/// The deployment that a pod's end concerns: one that recreates waits for the old pods to be gone.
fn of_ended_pod(store: &Store, event: &Event) -> Option<Vec<Arc<str>>> {
    let ended = event.kind == EventKind::Deleted
        || matches!(event.object.field("status.phase"), "Succeeded" | "Failed");
    let deployment = || {
        let set = event.object.controller()?.key.as_deref()?;
        let set = store.get(set)?;
        let key = set.controller()?.key.as_deref()?;
        key.starts_with(&DEPLOYMENTS.prefix(None))
            .then(|| key.into())
    };
    Some(match ended {
        true => deployment().into_iter().collect(),
        false => Vec::new(),
    })
}

fn sync<'a>(store: &'a Store, deployment: &'a Workload) -> BoxFuture<'a, Outcome> {
    async move {
        let mut outcome = Outcome::default();
        let mut rollout = Rollout::of(deployment);
        let resizes = rollout.next(store, &mut outcome).await;
        for (place, size) in resizes {
            rollout.resize(store, place, size).await;
        }
        rollout.finish(store, &mut outcome).await;
        outcome
    }
    .boxed()
}

/// A deployment and its replica sets, the oldest first.
struct Rollout<'a> {
    deployment: &'a Workload,
    sets: Vec<Dependent>,
    /// The place of the set of the present template.
    new: Option<usize>,
    limits: Limits,
    /// What the condition Progressing is to say of finding or making the new set.
    progress: Option<(&'static str, String)>,
}

impl<'a> Rollout<'a> {
    fn of(deployment: &'a Workload) -> Rollout<'a> {
        let mut sets: Vec<Dependent> = deployment
            .dependents
            .iter()
            .map(|set| Dependent {
                object: set.object.clone(),
                value: set.value.clone(),
            })
            .collect();
        sets.sort_by(|a, b| {
            let age = |set: &Dependent| {
                let created = object::text(&set.value, "/metadata/creationTimestamp").to_owned();
                (created, set.object.name().to_owned())
            };
            age(a).cmp(&age(b))
        });
        let template = &deployment.value["spec"]["template"];
        let new = revision::find(template, sets.iter().map(|set| &set.value));
        Rollout {
            deployment,
            sets,
            new,
            limits: Limits::of(&deployment.value),
            progress: None,
        }
    }

    fn sizes(&self) -> Vec<Set> {
        self.sets.iter().map(|set| Set::of(&set.value)).collect()
    }

    fn is_paused(&self) -> bool {
        self.deployment.value.pointer("/spec/paused") == Some(&Value::Bool(true))
    }

    /// What sizes to change; makes or renews the set of the present template first, if it is time.
    async fn next(&mut self, store: &Store, outcome: &mut Outcome) -> Vec<(usize, i64)> {
        if self.is_paused() || plan::is_resized(&self.sizes(), &self.limits) {
            if self.new.is_some() {
                self.renew(store).await;
            }
            return plan::scaled(&self.sizes(), self.new, &self.limits);
        }
        if self.limits.recreate {
            let old = plan::without_old(&self.sizes(), self.new);
            if !old.is_empty() || self.has_old_pods(store) {
                return old;
            }
        }
        match self.new {
            Some(_) => self.renew(store).await,
            None => self.create(store, outcome).await,
        }
        match self.new {
            Some(new) if self.limits.recreate => plan::whole(&self.sizes(), new, &self.limits),
            Some(new) => plan::rolling(&self.sizes(), new, &self.limits),
            None => Vec::new(),
        }
    }

    /// Whether pods of other templates still run.
    fn has_old_pods(&self, store: &Store) -> bool {
        let new = self.new.map(|new| self.sets[new].object.uid.clone());
        let (pods, _) = store.list(&PODS.prefix(Some(self.deployment.object.namespace())));
        pods.iter().any(|pod| {
            let owner = pod.controller().map(|owner| &owner.uid);
            let ours = self
                .sets
                .iter()
                .any(|set| Some(&set.object.uid) == owner && Some(&set.object.uid) != new.as_ref());
            ours && !pod::is_finished(&pod.value())
        })
    }

    /// Brings the new set's revision and annotations up to date.
    async fn renew(&mut self, store: &Store) {
        let Some(new) = self.new else {
            return;
        };
        let old = (0..self.sets.len()).filter(|place| *place != new);
        let revision = old
            .map(|place| revision::number_of(&self.sets[place].value))
            .max()
            .unwrap_or(0)
            + 1;
        let deployment = self.deployment.value.clone();
        let min_ready = deployment["spec"].get("minReadySeconds").cloned();
        let written = write::update(store, &self.sets[new].object, move |set| {
            revision::annotate(set, &deployment, revision);
            match min_ready {
                Some(seconds) => set["spec"]["minReadySeconds"] = seconds,
                None => object::copy(&mut set["spec"], &Value::Null, "minReadySeconds"),
            }
        });
        if let Some(set) = note("renew a replica set", written.await) {
            self.replace(new, set);
        }
        if object::condition(&self.deployment.value, "Progressing").is_none() {
            let name = self.sets[new].object.name();
            self.progress = Some((
                "FoundNewReplicaSet",
                format!("Found new replica set {name:?}"),
            ));
        }
    }

    async fn create(&mut self, store: &Store, outcome: &mut Outcome) {
        let deployment = self.deployment;
        let sizes = self.sizes();
        let revision = self
            .sets
            .iter()
            .map(|set| revision::number_of(&set.value))
            .max()
            .unwrap_or(0)
            + 1;
        let size = plan::first_size(&sizes, &self.limits);
        let collisions = deployment.number("/status/collisionCount");
        let mut set = revision::replica_set(&deployment.object, &deployment.value, collisions);
        revision::annotate(&mut set, &deployment.value, revision);
        plan::annotate(&mut set, &self.limits);
        set["spec"]["replicas"] = size.into();
        let name = object::name(&set).to_owned();
        match write::create_owned(store, &REPLICA_SETS, set, &deployment.object).await {
            Ok(set) => {
                outcome.made.push(set.clone());
                if size > 0 {
                    self.tell_size(store, &name, 0, size).await;
                }
                self.progress = Some((
                    "NewReplicaSetCreated",
                    format!("Created new replica set {name:?}"),
                ));
                self.new = Some(self.sets.len());
                self.sets.push(Dependent {
                    value: set.value(),
                    object: set,
                });
            }
            Err(error) => {
                let message = format!("Failed to create new replica set {name:?}: {error}");
                // Another set has that name: the next look takes another one.
                if matches!(error, crate::server::status::ApiError::AlreadyExists { .. }) {
                    let counted = write::update(store, &deployment.object, move |value| {
                        value["status"]["collisionCount"] = (collisions + 1).into();
                    });
                    note("count a collision of names", counted.await);
                } else {
                    deployment
                        .tell(store, "Warning", "ReplicaSetCreateError", message.clone())
                        .await;
                    self.progress = Some(("ReplicaSetCreateError", message));
                }
                outcome.again_in(AGAIN);
            }
        }
    }

    async fn resize(&mut self, store: &Store, place: usize, size: i64) {
        let limits = self.limits;
        let before = number(&self.sets[place].value, "/spec/replicas");
        let written = write::update(store, &self.sets[place].object, move |set| {
            set["spec"]["replicas"] = size.into();
            plan::annotate(set, &limits);
        });
        let Some(set) = note("resize a replica set", written.await) else {
            return;
        };
        if before != size {
            let name = set.name().to_owned();
            self.tell_size(store, &name, before, size).await;
        }
        self.replace(place, set);
    }

    async fn tell_size(&self, store: &Store, name: &str, from: i64, to: i64) {
        let direction = if from < to { "up" } else { "down" };
        let message = match from {
            0 if to > 0 => format!("Scaled up replica set {name} from 0 to {to}"),
            _ => format!("Scaled {direction} replica set {name} from {from} to {to}"),
        };
        self.deployment
            .tell(store, "Normal", "ScalingReplicaSet", message)
            .await;
    }

    fn replace(&mut self, place: usize, set: Arc<StoredObject>) {
        self.sets[place] = Dependent {
            value: set.value(),
            object: set,
        };
    }

    /// Writes the status and the revision, and takes old sets away once all is done.
    async fn finish(&self, store: &Store, outcome: &mut Outcome) {
        let now = Timestamp::now();
        let new = self.new.map(|new| &self.sets[new]);
        let status = status::of(&status::Facts {
            deployment: &self.deployment.value,
            sets: &self.sizes(),
            new: new.map(|set| (set.object.name(), Set::of(&set.value))),
            limits: &self.limits,
            paused: self.is_paused(),
            progress: self.progress.as_ref(),
            now,
        });
        if let Some(left) = status::deadline_in(&self.deployment.value, &status, now) {
            outcome.again_in(left.max(Duration::from_secs(1)));
        }
        let complete = status::is_complete(&self.deployment.value, &status);
        let revision = new.map(|set| revision::number_of(&set.value).to_string());
        let written = write::update(store, &self.deployment.object, move |value| {
            value["status"] = status;
            if let Some(revision) = revision {
                object::map(&mut value["metadata"], "annotations")
                    .insert(revision::ANNOTATION.into(), revision.into());
            }
        });
        note("write the status of a deployment", written.await);
        if complete {
            self.forget_old(store).await;
        }
    }

    /// Deletes sets without pods beyond `revisionHistoryLimit`, those of the lowest revisions first.
    async fn forget_old(&self, store: &Store) {
        let limit = self
            .deployment
            .value
            .pointer("/spec/revisionHistoryLimit")
            .and_then(Value::as_u64)
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(usize::MAX);
        let mut old: Vec<&Dependent> = (0..self.sets.len())
            .filter(|place| Some(*place) != self.new)
            .map(|place| &self.sets[place])
            .filter(|set| !object::is_terminating(&set.value) && is_idle(&set.value))
            .collect();
        old.sort_by_key(|set| Reverse(revision::number_of(&set.value)));
        for set in old.into_iter().skip(limit) {
            let deleted = write::delete(store, &set.object).await;
            note("delete an old replica set", deleted);
        }
    }
}

fn is_idle(set: &Value) -> bool {
    number(set, "/spec/replicas") == 0
        && number(set, "/status/replicas") == 0
        && number(set, "/metadata/generation") <= number(set, "/status/observedGeneration")
}

#[cfg(test)]
fn deployment_of(spec: Value) -> Value {
    serde_json::json!({"metadata": {"name": "web", "generation": 1}, "spec": spec, "status": {}})
}
