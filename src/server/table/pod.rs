//! The table of pods: what the STATUS column says is decided as in Kubernetes' `printPod`.

use jiff::Timestamp;
use serde_json::Value;

use super::{Column, age, duration, or_none};
use crate::server::object::{self, condition, is_terminating, list, name, text};

pub const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Ready"),
    Column::text("Status"),
    Column::text("Restarts"),
    Column::AGE,
    Column::wide("IP"),
    Column::wide("Node"),
    Column::wide("Nominated Node"),
    Column::wide("Readiness Gates"),
];

pub fn row(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let ip = list(pod, "/status/podIPs")
        .first()
        .map_or(text(pod, "/status/podIP"), |ip| text(ip, "/ip"));
    vec![
        name(pod).into(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts(summary.restarts, summary.last_restart, now).into(),
        age(pod, "/metadata/creationTimestamp", now),
        or_none(ip),
        or_none(text(pod, "/spec/nodeName")),
        or_none(text(pod, "/status/nominatedNodeName")),
        readiness_gates(pod),
    ]
}

#[derive(Debug, PartialEq, Eq)]
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

impl Summary {
    fn of(pod: &Value) -> Summary {
        let phase = text(pod, "/status/phase");
        let reason = match text(pod, "/status/reason") {
            "" => phase,
            reason => reason,
        };
        let mut summary = Summary {
            reason: reason.to_owned(),
            ready: 0,
            total: list(pod, "/spec/containers").len(),
            restarts: 0,
            last_restart: None,
        };
        let gated = condition(pod, "PodScheduled")
            .is_some_and(|scheduled| text(scheduled, "/reason") == "SchedulingGated");
        if gated {
            summary.reason = "SchedulingGated".into();
        }
        let initializing = summary.add_init_containers(pod);
        if !initializing || is_initialized(pod) {
            summary.add_containers(pod);
        }
        if is_terminating(pod) {
            summary.reason = match text(pod, "/status/reason") {
                "NodeLost" => "Unknown".into(),
                _ if matches!(phase, "Succeeded" | "Failed") => summary.reason,
                _ => "Terminating".into(),
            };
        }
        summary
    }

    /// Whether the pod has still to initialise.
    fn add_init_containers(&mut self, pod: &Value) -> bool {
        let specs = list(pod, "/spec/initContainers");
        let sidecar = |status: &Value| {
            specs.iter().any(|spec| {
                name_of(spec) == name_of(status) && text(spec, "/restartPolicy") == "Always"
            })
        };
        self.total += specs
            .iter()
            .filter(|spec| text(spec, "/restartPolicy") == "Always")
            .count();
        for (index, status) in list(pod, "/status/initContainerStatuses")
            .iter()
            .enumerate()
        {
            self.count_restarts(status);
            let is_sidecar = sidecar(status);
            if is_sidecar && is_true(status, "/ready") {
                self.ready += 1;
            }
            let terminated = status.pointer("/state/terminated");
            let waiting = text(status, "/state/waiting/reason");
            match terminated {
                Some(state) if exit_code(state) == 0 => continue,
                None if is_sidecar && is_true(status, "/started") => continue,
                Some(state) => self.reason = format!("Init:{}", ended(state)),
                None if !matches!(waiting, "" | "PodInitializing") => {
                    self.reason = format!("Init:{waiting}");
                }
                None => self.reason = format!("Init:{index}/{}", specs.len()),
            }
            return true;
        }
        false
    }

    fn add_containers(&mut self, pod: &Value) {
        let mut running = false;
        // Backwards, so that the first container's reason is the one that stays.
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            self.count_restarts(status);
            let waiting = text(status, "/state/waiting/reason");
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if let Some(state) = status.pointer("/state/terminated") {
                self.reason = ended(state);
            } else if is_true(status, "/ready") && status.pointer("/state/running").is_some() {
                running = true;
                self.ready += 1;
            }
        }
        // A pod with one container done and another running is not done.
        if self.reason == "Completed" && running {
            let ready =
                condition(pod, "Ready").is_some_and(|ready| text(ready, "/status") == "True");
            self.reason = if ready { "Running" } else { "NotReady" }.into();
        }
    }

    fn count_restarts(&mut self, status: &Value) {
        self.restarts += status
            .get("restartCount")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        let last = object::parse_timestamp(text(status, "/lastState/terminated/finishedAt"));
        self.last_restart = self.last_restart.max(last);
    }
}

fn name_of(container: &Value) -> &str {
    text(container, "/name")
}

fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer) == Some(&Value::Bool(true))
}

fn is_initialized(pod: &Value) -> bool {
    condition(pod, "Initialized").is_some_and(|one| text(one, "/status") == "True")
}

fn exit_code(state: &Value) -> i64 {
    state.get("exitCode").and_then(Value::as_i64).unwrap_or(0)
}

fn ended(state: &Value) -> String {
    let signal = state.get("signal").and_then(Value::as_i64).unwrap_or(0);
    match text(state, "/reason") {
        "" if signal != 0 => format!("Signal:{signal}"),
        "" => format!("ExitCode:{}", exit_code(state)),
        reason => reason.to_owned(),
    }
}

fn restarts(count: i64, last: Option<Timestamp>, now: Timestamp) -> String {
    match last {
        Some(last) if count > 0 => {
            format!(
                "{count} ({} ago)",
                duration(now.duration_since(last).as_secs())
            )
        }
        _ => count.to_string(),
    }
}

fn readiness_gates(pod: &Value) -> Value {
    let gates = list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let open = gates.iter().filter(|gate| {
        condition(pod, text(gate, "/conditionType"))
            .is_some_and(|condition| text(condition, "/status") == "True")
    });
    format!("{}/{}", open.count(), gates.len()).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason(status: Value) -> String {
        Summary::of(&json!({
            "spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]},
            "status": status,
        }))
        .reason
    }

    #[test]
    fn the_status_column() {
        for (status, shown) in [
            (json!({"phase": "Pending"}), "Pending"),
            (json!({"phase": "Failed", "reason": "Evicted"}), "Evicted"),
            (
                json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
                "Init:0/1",
            ),
            (
                json!({"phase": "Pending", "initContainerStatuses": [
                    {"name": "i", "state": {"terminated": {"exitCode": 3}}}]}),
                "Init:ExitCode:3",
            ),
            (
                json!({"phase": "Running", "containerStatuses": [
                    {"state": {"waiting": {"reason": "CrashLoopBackOff"}}},
                    {"ready": true, "state": {"running": {}}}]}),
                "CrashLoopBackOff",
            ),
            (
                json!({"phase": "Running", "containerStatuses": [
                    {"state": {"terminated": {"reason": "Completed"}}},
                    {"ready": true, "state": {"running": {}}}]}),
                "NotReady",
            ),
        ] {
            assert_eq!(reason(status.clone()), shown, "{status}");
        }
    }

    #[test]
    fn a_deleted_pod_is_terminating() {
        let pod = json!({
            "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"phase": "Running"},
        });
        assert_eq!(Summary::of(&pod).reason, "Terminating");
    }

    #[test]
    fn restarts_say_when() {
        let now: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
        let last = "2026-01-01T00:00:00Z".parse().ok();
        assert_eq!(restarts(2, last, now), "2 (5m ago)");
        assert_eq!(restarts(0, None, now), "0");
    }
}
