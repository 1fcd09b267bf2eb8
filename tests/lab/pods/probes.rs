//! What comes of probes: readiness, restarts, and waiting for a startup probe.

use serde_json::{Value, json};

use super::{condition, lab};
use crate::cluster::Cluster;
use crate::place::eventually;

/// A container that is well while /tmp/well is there; it comes and goes with words in a volume.
fn by_command(name: &str, probe: &str, failure: u32) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [{
                "name": "main", "image": "busybox",
                "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                probe: {"exec": {"command": ["cat", "/v/well"]}, "periodSeconds": 1, "failureThreshold": failure},
            }],
        },
    })
}

fn set(cluster: &Cluster, pod: &str, well: bool) {
    let file = cluster.pod_dir(pod).join("volumes/v/well");
    match well {
        true => std::fs::write(file, "well\n").expect("written"),
        false => std::fs::remove_file(file).expect("removed"),
    }
}

fn running(cluster: &Cluster, pod: &str) {
    cluster.container(pod, "main", |status| status["state"]["running"].is_object());
}

#[test]
fn readiness_by_a_command_comes_and_goes_without_a_restart() {
    let cluster = lab();
    cluster.create(by_command("fickle", "readinessProbe", 1));
    running(&cluster, "fickle");
    let unready = eventually("it is not ready", || {
        let pod = cluster.get("fickle")?;
        (condition(&pod, "Ready")["status"] == "False").then_some(pod)
    });
    let ready = condition(&unready, "ContainersReady");
    assert_eq!(ready["reason"], "ContainersNotReady");
    assert_eq!(ready["message"], "containers with unready status: [main]");
    for well in [true, false, true] {
        set(&cluster, "fickle", well);
        cluster.container("fickle", "main", |status| status["ready"] == well);
    }
    let text = "Readiness probe failed: cat: /v/well";
    eventually("it is said", || {
        cluster.has_event("fickle", "Unhealthy", text).then_some(())
    });
    cluster.container("fickle", "main", |status| status["restartCount"] == 0);
}

#[test]
fn liveness_by_a_command_restarts_and_the_next_run_may_be_well() {
    let cluster = lab();
    let mut pod = by_command("mortal", "livenessProbe", 2);
    pod["spec"]["containers"][0]["livenessProbe"]["initialDelaySeconds"] = json!(1);
    cluster.create(pod);
    running(&cluster, "mortal");
    set(&cluster, "mortal", true);
    running(&cluster, "mortal");
    set(&cluster, "mortal", false);
    cluster.container("mortal", "main", |status| {
        status["restartCount"].as_i64() >= Some(1)
    });
    set(&cluster, "mortal", true);
    running(&cluster, "mortal");
    let text = "Container main failed liveness probe, will be restarted";
    eventually("it is said", || {
        cluster.has_event("mortal", "Killing", text).then_some(())
    });
}

#[test]
fn the_others_wait_for_the_startup_probe() {
    let cluster = lab();
    let mut pod = by_command("late", "startupProbe", 30);
    // Would kill it at once, were it asked.
    pod["spec"]["containers"][0]["livenessProbe"] =
        json!({"exec": {"command": ["cat", "/v/well"]}, "periodSeconds": 1, "failureThreshold": 1});
    cluster.create(pod);
    let text = "Startup probe failed";
    eventually("it is asked", || {
        cluster.has_event("late", "Unhealthy", text).then_some(())
    });
    let status = cluster.container("late", "main", |_| true);
    assert_eq!(
        (&status["started"], &status["restartCount"]),
        (&json!(false), &json!(0))
    );
    set(&cluster, "late", true);
    let status = cluster.container("late", "main", |status| status["started"] == true);
    assert_eq!(status["restartCount"], 0);
    set(&cluster, "late", false);
    cluster.container("late", "main", |status| {
        status["restartCount"].as_i64() >= Some(1)
    });
}

/// As the book's own example: well five times, and ever after not.
#[test]
fn liveness_over_http_restarts_kubia_unhealthy() {
    let cluster = lab();
    cluster.create(json!({
        "metadata": {"name": "kubia"},
        "spec": {"containers": [{
            "name": "main", "image": "luksa/kubia-unhealthy",
            "ports": [{"name": "http", "containerPort": 8080}],
            "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1},
        }]},
    }));
    cluster.container("kubia", "main", |status| {
        status["restartCount"].as_i64() >= Some(1)
    });
    let text = "Liveness probe failed: HTTP probe failed with statuscode: 500";
    eventually("it is said", || {
        cluster.has_event("kubia", "Unhealthy", text).then_some(())
    });
    cluster.container("kubia", "main", |status| status["ready"] == true);
}

#[test]
fn readiness_over_tcp_is_whether_somebody_listens() {
    let cluster = lab();
    let with = |name: &str, port: u16| {
        json!({
            "metadata": {"name": name},
            "spec": {"containers": [{
                "name": "main", "image": "luksa/kubia",
                "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
            }]},
        })
    };
    cluster.create(with("heard", 8080));
    cluster.create(with("deaf", 81));
    cluster.ready("heard");
    let text = "connect: connection refused";
    eventually("it is said", || {
        cluster.has_event("deaf", "Unhealthy", text).then_some(())
    });
    let status = cluster.container("deaf", "main", |status| {
        status["state"]["running"].is_object()
    });
    assert_eq!(status["ready"], false);
}

#[test]
fn a_post_start_hook_that_fails_costs_the_container_its_life() {
    let cluster = lab();
    cluster.create(json!({
        "metadata": {"name": "hooked"},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
            "name": "main", "image": "busybox", "command": ["sleep", "1000"],
            "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo sorry; exit 3"]}}},
        }]},
    }));
    cluster.container("hooked", "main", |status| {
        status["restartCount"].as_i64() >= Some(1)
    });
    eventually("it is said", || {
        cluster
            .has_event("hooked", "FailedPostStartHook", "sorry")
            .then_some(())
    });
}
