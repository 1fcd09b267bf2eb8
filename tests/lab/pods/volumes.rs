//! Volumes, and what a pod waits for before it is ready.

use std::fs;

use serde_json::{Value, json};

use super::{condition, sh};
use crate::cluster::Cluster;
use crate::place::{Place, eventually};

const GATE: &str = "example.com/open";

/// All volumes that podnet has, and the downward API's variables.
fn full(opened: &str) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mounts = ["words", "memory", "own", "made", "opened", "labels"]
        .map(|name| json!({"name": name, "mountPath": format!("/v/{name}")}));
    json!({
        "metadata": {"name": "full", "labels": {"tier": "front"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "readinessGates": [{"conditionType": GATE}],
            "volumes": [
                {"name": "words", "configMap": {"name": "words"}},
                {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                {"name": "own", "hostPath": {"path": "/srv/own", "type": "DirectoryOrCreate"}},
                {"name": "made", "hostPath": {"path": "/srv/made"}},
                {"name": "opened", "hostPath": {"path": opened, "type": "Directory"}},
                {"name": "labels", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ],
            "containers": [{
                "name": "main", "image": "busybox", "command": ["sleep", "1000"],
                "env": [
                    field("NAME", "metadata.name"), field("SPACE", "metadata.namespace"), field("POD_IP", "status.podIP"),
                    field("NODE", "spec.nodeName"), field("TIER", "metadata.labels['tier']"),
                    {"name": "SEEN", "value": "$(NAME) on $(NODE)"},
                ],
                "volumeMounts": mounts,
            }],
        },
    })
}

fn run(cluster: &Cluster, script: &str) -> String {
    cluster
        .place
        .ok(&["exec", "full", "--", "sh", "-c", script])
}

#[test]
fn a_pod_waits_for_its_config_map_and_its_gate_and_has_every_kind_of_volume() {
    let opened = tempfile::tempdir().expect("a directory");
    let path = opened.path().to_str().expect("text");
    let settings = format!("restartBackOffScale: 0.001\n  hostPaths: [{path}]");
    let cluster = Cluster::up_in(Place::new(), &settings);
    cluster.create(full(path));
    let missing = "configmap \"words\" not found";
    eventually("it is said", || {
        cluster
            .has_event("full", "FailedMount", missing)
            .then_some(())
    });
    cluster.config_map("words", json!({"first": "one"}));

    cluster.container("full", "main", |status| status["ready"] == true);
    let pod = eventually("its gate is shut", || {
        let pod = cluster.get("full")?;
        (condition(&pod, "ContainersReady")["status"] == "True").then_some(pod)
    });
    let ready = condition(&pod, "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("ReadinessGatesNotReady"))
    );
    cluster.set_condition("full", GATE, "True");
    let pod = cluster.ready("full");
    assert_eq!(condition(&pod, GATE)["status"], "True", "it is left alone");
    cluster.set_condition("full", GATE, "False");
    eventually("its gate is shut again", || {
        let pod = cluster.get("full")?;
        (condition(&pod, "Ready")["status"] == "False").then_some(())
    });

    let ip = pod["status"]["podIP"].as_str().expect("an address");
    assert_eq!(
        run(
            &cluster,
            "echo $NAME $SPACE $POD_IP $NODE $TIER; echo $SEEN"
        ),
        format!("full default {ip} node-1 front\nfull on node-1\n")
    );
    assert_eq!(
        run(
            &cluster,
            "stat -f -c %T /v/memory; head -c 2000000 /dev/zero 2>/dev/null > /v/memory/big || wc -c < /v/memory/big"
        ),
        "tmpfs\n1048576\n"
    );
    assert_eq!(
        run(&cluster, "cat /v/words/first /v/labels/labels"),
        "onetier=\"front\""
    );
    run(
        &cluster,
        "for v in own made opened; do echo $v > /v/$v/file; done",
    );
    let tree = cluster.pods_dir().with_file_name("rootfs/srv");
    for file in [
        tree.join("own/file"),
        tree.join("made/file"),
        opened.path().join("file"),
    ] {
        assert!(file.is_file(), "{}", file.display());
    }

    cluster.config_map("words", json!({"first": null, "second": "two"}));
    // Looked after now, and not only when its minute is over.
    cluster.patch("full", json!({"metadata": {"labels": {"tier": "back"}}}));
    eventually("its volumes show what is now", || {
        let shown = run(&cluster, "cd /v; ls words; cat words/* labels/labels");
        (shown == "second\ntwotier=\"back\"").then_some(())
    });
}

#[test]
fn what_of_the_machine_a_lab_does_not_open_is_not_there() {
    let cluster = super::lab();
    let machine = tempfile::tempdir().expect("a directory");
    fs::write(machine.path().join("secret"), "secret").expect("written");
    let path = machine.path().to_str().expect("text");
    cluster.create(json!({
        "metadata": {"name": "curious"},
        "spec": {
            "volumes": [{"name": "theirs", "hostPath": {"path": path, "type": "Directory"}}],
            "containers": [{"name": "main", "image": "busybox", "command": sh("sleep 1000"),
                "volumeMounts": [{"name": "theirs", "mountPath": "/theirs"}]}],
        },
    }));
    let words = format!("hostPath type check failed: {path} is not a directory");
    eventually("it is said", || {
        cluster
            .has_event("curious", "FailedMount", &words)
            .then_some(())
    });
    assert!(
        cluster.has_event("curious", "FailedMount", "hostPaths"),
        "and what to do"
    );
    cluster.container("curious", "main", |status| {
        status["state"]["waiting"]["reason"] == "ContainerCreating"
    });
}

/// Which its user, who is not root, may remove only with some trouble.
#[test]
fn what_an_ordinary_users_pod_leaves_goes_whatever_its_modes() {
    let cluster = Cluster::up_in(Place::ordinary(), "restartBackOffScale: 0.001");
    let pod = |name: &str| {
        json!({
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [{
                    "name": "main", "image": "busybox", "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                    "command": sh("mkdir -p /v/a/b; touch /v/a/file /v/a/b/file; chmod 0000 /v/a/b; chmod 0555 /v/a /v; ln -s / /v/a/b/root"),
                }],
            },
        })
    };
    for name in ["deleted", "left"] {
        cluster.create(pod(name));
        cluster.phase(name, "Succeeded");
    }
    let dir = cluster.pod_dir("deleted");
    assert!(dir.join("volumes/v/a").is_dir());
    cluster.delete("deleted", None);
    eventually("its directory is gone", || (!dir.exists()).then_some(()));
    cluster.place.ok(&["down"]);
    assert!(!cluster.place.lab("default").exists());
}
