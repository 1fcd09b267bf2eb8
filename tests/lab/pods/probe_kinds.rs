//! Each kind of probe, failing and recovering within one run of what it asks.

use serde_json::{Value, json};

use super::lab;
use crate::cluster::Cluster;
use crate::place::eventually;

const SERVER: &str = include_str!("well.py");

/// Each container's name, how it is asked, and what is said of it while it is not well.
fn kinds() -> [(&'static str, Value, &'static str); 5] {
    let headers = json!([{"name": "X-Asked", "value": "yes"}]);
    [
        (
            "http",
            json!({"httpGet": {"path": "/", "port": "door", "httpHeaders": headers}}),
            "HTTP probe failed with statuscode: 500",
        ),
        (
            "https",
            json!({"httpGet": {"path": "/", "port": "door", "scheme": "HTTPS"}}),
            "HTTP probe failed with statuscode: 500",
        ),
        (
            "tcp",
            json!({"tcpSocket": {"port": "door"}}),
            "connect: connection refused",
        ),
        (
            "grpc",
            json!({"grpc": {"port": 8003, "service": "door"}}),
            "service unhealthy (responded with \"NOT_SERVING\")",
        ),
        (
            "exec",
            json!({"exec": {"command": ["cat", "/v/well"]}}),
            "cat: /v/well",
        ),
    ]
}

fn container(index: usize, kind: &str, mut probe: Value) -> Value {
    let port = 8000 + index;
    probe["periodSeconds"] = json!(1);
    probe["failureThreshold"] = json!(1);
    json!({
        "name": kind, "image": "host",
        "command": ["python3", "-c", SERVER, kind, port.to_string()],
        "ports": [{"name": "door", "containerPort": port}],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "tls", "mountPath": "/tls"}],
        "readinessProbe": probe,
    })
}

fn all(cluster: &Cluster, ready: bool) {
    for (kind, _, _) in kinds() {
        let status = cluster.container("kinds", kind, |status| status["ready"] == ready);
        assert_eq!(status["restartCount"], 0, "{kind}");
    }
}

#[test]
fn each_kind_of_probe_fails_and_recovers_within_one_run() {
    let cluster = lab();
    let made = rcgen::generate_simple_self_signed(["kinds".to_owned()]).expect("a certificate");
    let both = made.signing_key.serialize_pem() + &made.cert.pem();
    cluster.config_map("tls", json!({"both.pem": both}));
    let containers: Vec<Value> = kinds()
        .into_iter()
        .enumerate()
        .map(|(index, (kind, probe, _))| container(index, kind, probe))
        .collect();
    cluster.create(json!({
        "metadata": {"name": "kinds"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "tls", "configMap": {"name": "tls"}}],
            "containers": containers,
        },
    }));
    for (kind, _, words) in kinds() {
        eventually(&format!("{kind} is unwell"), || {
            cluster.has_event("kinds", "Unhealthy", words).then_some(())
        });
    }
    let well = cluster.pod_dir("kinds").join("volumes/v/well");
    for _ in 0..2 {
        std::fs::write(&well, "").expect("written");
        all(&cluster, true);
        std::fs::remove_file(&well).expect("removed");
        all(&cluster, false);
    }
}
