//! What the controllers of workloads want to know of a pod. Pure.

use std::cmp::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::workload::number;
use crate::server::kinds::pod;
use crate::server::object;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodView {
    /// Empty: not assigned yet.
    pub node: String,
    /// Neither ended nor being deleted.
    pub active: bool,
    phase: Phase,
    /// Since when it is ready.
    ready: Option<Timestamp>,
    created: Timestamp,
    restarts: i64,
    /// `controller.kubernetes.io/pod-deletion-cost`.
    cost: i64,
}

/// In the order in which pods go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Pending,
    Unknown,
    Running,
}

impl PodView {
    pub fn of(pod: &Value) -> PodView {
        let time = |value: &Value, pointer: &str| {
            object::parse_timestamp(object::text(value, pointer)).unwrap_or(Timestamp::UNIX_EPOCH)
        };
        PodView {
            node: object::text(pod, "/spec/nodeName").to_owned(),
            active: !pod::is_finished(pod) && !object::is_terminating(pod),
            phase: match object::text(pod, "/status/phase") {
                "Pending" => Phase::Pending,
                "Running" => Phase::Running,
                _ => Phase::Unknown,
            },
            ready: object::condition(pod, "Ready")
                .filter(|ready| object::text(ready, "/status") == "True")
                .map(|ready| time(ready, "/lastTransitionTime")),
            created: time(pod, "/metadata/creationTimestamp"),
            restarts: object::list(pod, "/status/containerStatuses")
                .iter()
                .map(|status| number(status, "/restartCount"))
                .sum(),
            cost: pod
                .pointer("/metadata/annotations/controller.kubernetes.io~1pod-deletion-cost")
                .and_then(|cost| cost.as_str()?.parse().ok())
                .unwrap_or(0),
        }
    }

    pub fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// Ready for so long that it counts as available.
    pub fn is_available(&self, min_ready_seconds: i64, now: Timestamp) -> bool {
        self.ready.is_some() && self.available_in(min_ready_seconds, now).is_none()
    }

    /// How long until it is available if it stays ready; `None` if it is already or is not ready.
    pub fn available_in(&self, min_ready_seconds: i64, now: Timestamp) -> Option<Duration> {
        let ready = self.ready.filter(|_| min_ready_seconds > 0)?;
        let left = SignedDuration::from_secs(min_ready_seconds) - now.duration_since(ready);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    /// Which of two pods goes first when there are too many, the earlier one being less
    /// (`ActivePodsWithRanks`). `neighbours` is how many pods of the same kind their nodes have.
    pub fn goes_before(&self, other: &PodView, neighbours: (usize, usize)) -> Ordering {
        let assigned = |pod: &PodView| !pod.node.is_empty();
        assigned(self)
            .cmp(&assigned(other))
            .then(self.phase.cmp(&other.phase))
            .then(self.is_ready().cmp(&other.is_ready()))
            .then(self.cost.cmp(&other.cost))
            .then(neighbours.1.cmp(&neighbours.0))
            // Those that have served for longer stay.
            .then(other.ready.cmp(&self.ready))
            .then(other.restarts.cmp(&self.restarts))
            .then(other.created.cmp(&self.created))
    }
}

#[cfg(test)]
impl PodView {
    pub fn phase_is_running(&self) -> bool {
        self.phase == Phase::Running
    }
}
