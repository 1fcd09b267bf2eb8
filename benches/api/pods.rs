//! The objects of the load: pods of two containers as people write them.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::client::Connection;

pub const PATH: &str = "/api/v1/namespaces/default/pods";
/// No answer with a pod is smaller.
/// How many there are when they are read.
pub const ALL: usize = 10_000;
pub const LEAST_BYTES: usize = 1_000;

pub fn name(n: usize) -> String {
    format!("web-7d4b9c6f5d-{n:05}")
}

/// A pod that the server's scheduler leaves alone.
pub fn unscheduled(n: usize) -> String {
    let mut pod = pod(n);
    pod["spec"]["schedulerName"] = "nobody".into();
    pod.to_string()
}

pub fn scheduled(n: usize) -> String {
    pod(n).to_string()
}

fn pod(n: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name(n),
            "labels": {
                "app.kubernetes.io/name": "web",
                "app.kubernetes.io/instance": format!("web-{}", n % 100),
                "app.kubernetes.io/version": "1.27.4",
                "tier": "frontend",
            },
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9113"},
        },
        "spec": {
            "containers": [web(), logs()],
            "volumes": [
                {"name": "logs", "emptyDir": {}},
                {"name": "config", "configMap": {"name": "web-config"}},
            ],
            "terminationGracePeriodSeconds": 15,
        },
    })
}

fn web() -> Value {
    json!({
        "name": "web",
        "image": "registry.example.com/shop/web:1.27.4",
        "args": ["--listen=:8080", "--upstream=http://api.default.svc:8080"],
        "ports": [
            {"name": "http", "containerPort": 8080},
            {"name": "metrics", "containerPort": 9113},
        ],
        "env": [
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "resources": {
            "requests": {"cpu": "1m", "memory": "1Mi"},
            "limits": {"memory": "128Mi"},
        },
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
        "volumeMounts": [
            {"name": "logs", "mountPath": "/var/log/web"},
            {"name": "config", "mountPath": "/etc/web", "readOnly": true},
        ],
    })
}

fn logs() -> Value {
    json!({
        "name": "logs",
        "image": "registry.example.com/shop/ship-logs:0.9.1",
        "command": ["/ship", "--from=/var/log/web", "--to=logs.default.svc:5044"],
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
        "volumeMounts": [{"name": "logs", "mountPath": "/var/log/web", "readOnly": true}],
    })
}

/// A node with room for any number of them.
pub fn node(n: usize) -> String {
    let amounts = json!({"cpu": "1000", "memory": "1000Gi", "pods": "100000"});
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": format!("node-{n}")},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "capacity": amounts,
            "allocatable": amounts,
        },
    });
    node.to_string()
}

/// Waits until the scheduler has said of each of `count` pods where it runs, or that it fits nowhere.
pub async fn until_all_are_told(
    connection: &mut Connection,
    count: usize,
    fit: bool,
) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(100);
    const NOT_BOUND: &str = "?limit=1&fieldSelector=spec.nodeName%3D";
    const TOLD: &str = "/api/v1/namespaces/default/events?limit=1";
    loop {
        let path = match fit {
            true => format!("{PATH}{NOT_BOUND}"),
            false => TOLD.to_owned(),
        };
        let list: Value = serde_json::from_slice(&connection.fetch(&path).await?)?;
        let shown = list["items"].as_array().map_or(0, Vec::len);
        let more = list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0) as usize;
        let wanted = if fit { 0 } else { count };
        if shown + more == wanted {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
