//! The table of nodes (`printNode`).

use jiff::Timestamp;
use serde_json::Value;

use super::{Column, age, or, or_none};
use crate::server::object::{condition, list, name, pairs, text};

pub const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Status"),
    Column::text("Roles"),
    Column::AGE,
    Column::text("Version"),
    Column::wide("Internal-IP"),
    Column::wide("External-IP"),
    Column::wide("OS-Image"),
    Column::wide("Kernel-Version"),
    Column::wide("Container-Runtime"),
];

pub fn row(node: &Value, now: Timestamp) -> Vec<Value> {
    let info = |field: &str| text(node, &format!("/status/nodeInfo/{field}"));
    vec![
        name(node).into(),
        status(node).into(),
        or_none(&roles(node)),
        age(node, "/metadata/creationTimestamp", now),
        info("kubeletVersion").into(),
        or_none(address(node, "InternalIP")),
        or_none(address(node, "ExternalIP")),
        or(info("osImage"), "<unknown>"),
        or(info("kernelVersion"), "<unknown>"),
        or(info("containerRuntimeVersion"), "<unknown>"),
    ]
}

fn status(node: &Value) -> String {
    let mut status = match condition(node, "Ready").map(|ready| text(ready, "/status")) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(node: &Value) -> String {
    let mut roles: Vec<&str> = pairs(node, "/metadata/labels")
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) => Some(role),
                None => (key == "kubernetes.io/role").then_some(value),
            },
        )
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.join(",")
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    list(node, "/status/addresses")
        .iter()
        .find(|address| text(address, "/type") == kind)
        .map_or("", |address| text(address, "/address"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cordoned_node_says_so() {
        let node = json!({
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        assert_eq!(status(&node), "Ready,SchedulingDisabled");
        assert_eq!(roles(&node), "control-plane");
        assert_eq!(status(&json!({})), "Unknown");
    }
}
