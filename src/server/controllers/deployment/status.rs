//! What a deployment's status says, in Kubernetes' words. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::plan::{Limits, Set};
use crate::server::controllers::workload::number;
use crate::server::object;

/// What the status is about.
pub struct Facts<'a> {
    pub deployment: &'a Value,
    pub sets: &'a [Set],
    /// The set of the present template.
    pub new: Option<(&'a str, Set)>,
    pub limits: &'a Limits,
    pub paused: bool,
    /// Reason and message of making or finding the new set just now.
    pub progress: Option<&'a (&'static str, String)>,
    pub now: Timestamp,
}

pub fn of(facts: &Facts<'_>) -> Value {
    let sum = |number: fn(&Set) -> i64| -> i64 { facts.sets.iter().map(number).sum() };
    let available = sum(|set| set.available);
    let total: i64 = sum(|set| set.wanted);
    let mut status = json!({
        "observedGeneration": number(facts.deployment, "/metadata/generation"),
        "replicas": sum(|set| set.has),
        "updatedReplicas": facts.new.as_ref().map_or(0, |(_, set)| set.has),
        "readyReplicas": sum(|set| set.ready),
        "availableReplicas": available,
        "unavailableReplicas": (total - available).max(0),
        "collisionCount": number(facts.deployment, "/status/collisionCount"),
    });
    // As Go's `omitempty`.
    if let Some(map) = status.as_object_mut() {
        map.retain(|_, value| *value != 0);
    }
    let mut holder = json!({"status": status});
    if let Some(conditions) = facts.deployment["status"].get("conditions") {
        holder["status"]["conditions"] = conditions.clone();
    }
    set_available(&mut holder, facts, available);
    set_progressing(&mut holder, facts);
    holder["status"].take()
}

fn set_available(holder: &mut Value, facts: &Facts<'_>, available: i64) {
    let (status, reason, message) = match available >= facts.limits.least_available() {
        true => (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        ),
        false => (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        ),
    };
    set(holder, "Available", status, reason, message, facts.now);
}

/// `syncRolloutStatus`.
fn set_progressing(holder: &mut Value, facts: &Facts<'_>) {
    const KIND: &str = "Progressing";
    let condition = object::condition(holder, KIND).cloned();
    let reason = condition
        .as_ref()
        .map_or("", |condition| object::text(condition, "/reason"))
        .to_owned();
    if facts.paused {
        if reason != "TimedOut" {
            set(
                holder,
                KIND,
                "Unknown",
                "DeploymentPaused",
                "Deployment is paused",
                facts.now,
            );
        }
        return;
    }
    if reason == "DeploymentPaused" {
        return set(
            holder,
            KIND,
            "Unknown",
            "DeploymentResumed",
            "Deployment is resumed",
            facts.now,
        );
    }
    let name = match &facts.new {
        Some((name, _)) => format!("ReplicaSet {name:?}"),
        None => format!("Deployment {:?}", object::name(facts.deployment)),
    };
    let status = &holder["status"];
    let settled = reason == "NewReplicaSetAvailable"
        && number(status, "/replicas") == number(status, "/updatedReplicas");
    if let Some((reason, message)) = facts.progress {
        let value = if *reason == "ReplicaSetCreateError" {
            "False"
        } else {
            "True"
        };
        return set(holder, KIND, value, reason, message, facts.now);
    }
    if is_complete(facts.deployment, status) {
        if !settled {
            let message = format!("{name} has successfully progressed.");
            set(
                holder,
                KIND,
                "True",
                "NewReplicaSetAvailable",
                &message,
                facts.now,
            );
        }
        return;
    }
    if settled {
        return;
    }
    if has_progressed(&facts.deployment["status"], status) {
        let message = format!("{name} is progressing.");
        set(
            holder,
            KIND,
            "True",
            "ReplicaSetUpdated",
            &message,
            facts.now,
        );
        // Progress pushes the deadline back even if nothing else of the condition changes.
        touch(holder, KIND, facts.now);
    } else if deadline_in(facts.deployment, status, facts.now).is_some_and(|left| left.is_zero()) {
        let message = format!("{name} has timed out progressing.");
        set(
            holder,
            KIND,
            "False",
            "ProgressDeadlineExceeded",
            &message,
            facts.now,
        );
    }
}

/// All pods are of the present template and available (`DeploymentComplete`).
pub fn is_complete(deployment: &Value, status: &Value) -> bool {
    let replicas = number(deployment, "/spec/replicas");
    ["/updatedReplicas", "/replicas", "/availableReplicas"]
        .into_iter()
        .all(|field| number(status, field) == replicas)
}

/// `DeploymentProgressing`.
fn has_progressed(before: &Value, now: &Value) -> bool {
    let old = |status: &Value| number(status, "/replicas") - number(status, "/updatedReplicas");
    let more = |field: &str| number(now, field) > number(before, field);
    more("/updatedReplicas")
        || more("/readyReplicas")
        || more("/availableReplicas")
        || old(now) < old(before)
}

/// How long until a rollout without progress counts as failed; zero when that is past, `None` where
/// there is nothing to wait for.
pub fn deadline_in(deployment: &Value, status: &Value, now: Timestamp) -> Option<Duration> {
    let holder = json!({"status": status});
    let condition = object::condition(&holder, "Progressing")?;
    let waiting = object::text(condition, "/status") == "True"
        && object::text(condition, "/reason") != "NewReplicaSetAvailable";
    if !waiting {
        return None;
    }
    let since = object::parse_timestamp(object::text(condition, "/lastUpdateTime"))?;
    let seconds = number(deployment, "/spec/progressDeadlineSeconds");
    // What Kubernetes takes for no deadline.
    if seconds >= i64::from(i32::MAX) {
        return None;
    }
    let left = SignedDuration::from_secs(seconds) - now.duration_since(since);
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}

fn set(holder: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let now = object::timestamp(now);
    let before = object::condition(holder, kind);
    let same = before.is_some_and(|before| {
        object::text(before, "/status") == status && object::text(before, "/reason") == reason
    });
    let updated = match before.and_then(|before| before.get("lastUpdateTime")) {
        Some(updated) if same => updated.clone(),
        _ => now.as_str().into(),
    };
    let condition = json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastUpdateTime": updated,
    });
    object::set_condition(holder, condition, &now);
}

fn touch(holder: &mut Value, kind: &str, now: Timestamp) {
    let conditions = holder
        .pointer_mut("/status/conditions")
        .and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        if object::text(condition, "/type") == kind {
            condition["lastUpdateTime"] = object::timestamp(now).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_at(deployment: &Value, new: Set, now: Timestamp) -> Value {
        of(&Facts {
            deployment,
            sets: &[new],
            new: Some(("web-1", new)),
            limits: &Limits::of(deployment),
            paused: false,
            progress: None,
            now,
        })
    }

    #[test]
    fn a_rollout_progresses_ends_or_times_out() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut deployment = super::super::deployment_of(json!({
            "replicas": 2, "progressDeadlineSeconds": 10,
        }));
        let set = |has: i64, available: i64| Set {
            wanted: 2,
            has,
            ready: available,
            available,
            desired: Some(2),
            most: Some(2),
        };
        let reason = |status: &Value| {
            let holder = json!({"status": status});
            let condition = object::condition(&holder, "Progressing").unwrap();
            object::text(condition, "/reason").to_owned()
        };
        deployment["status"] = status_at(&deployment, set(2, 0), start);
        assert_eq!(reason(&deployment["status"]), "ReplicaSetUpdated");
        let late = start + SignedDuration::from_secs(11);
        let timed_out = status_at(&deployment, set(2, 0), late);
        assert_eq!(reason(&timed_out), "ProgressDeadlineExceeded");
        let done = status_at(&deployment, set(2, 2), late);
        assert_eq!(reason(&done), "NewReplicaSetAvailable");
        deployment["status"] = done;
        // A pod that fails later is no rollout that failed.
        let later = status_at(&deployment, set(2, 1), late + SignedDuration::from_secs(99));
        assert_eq!(reason(&later), "NewReplicaSetAvailable");
    }
}
