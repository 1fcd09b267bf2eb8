//! The logs of a node's pods, for a pod that collects them.

use serde_json::{Value, json};

use super::sh;
use crate::cluster::Cluster;
use crate::place::{Place, eventually};

fn collector(name: &str, path: &str, read_only: bool) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "logs", "hostPath": {"path": path}}],
            "containers": [{"name": "main", "image": "busybox", "command": ["sleep", "1000"],
                "volumeMounts": [{"name": "logs", "mountPath": path, "readOnly": read_only}]}],
        },
    })
}

#[test]
fn a_pod_that_collects_logs_sees_those_of_its_node_and_changes_none() {
    let cluster = Cluster::up_in(Place::ordinary(), "restartBackOffScale: 0.001");
    cluster.create(collector("direct", "/var/log/pods", false));
    cluster.create(collector("around", "/var/log", true));
    cluster.create(json!({
        "metadata": {"name": "talker"},
        "spec": {"terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "busybox", "command": sh("echo heard; sleep 1000")}]},
    }));
    for pod in ["direct", "around", "talker"] {
        cluster.ready(pod);
    }
    let place = &cluster.place;
    let run = |pod: &str, script: &str| place.podnet(&["exec", pod, "--", "sh", "-c", script]);
    let dir = format!("/var/log/pods/default_talker_{}", cluster.uid("talker"));
    for pod in ["direct", "around"] {
        let found = run(pod, &format!("grep 'stdout F heard' {dir}/main/0.log"));
        assert!(found.status.success(), "{pod}: {found:?}");
        let broken = run(
            pod,
            &format!("echo x >> {dir}/main/0.log || rm -r {dir} || mkdir {dir}/x"),
        );
        assert!(!broken.status.success(), "{pod}: {broken:?}");
    }
    assert_eq!(place.ok(&["logs", "talker"]), "heard\n");
    cluster.delete("talker", None);
    eventually("its logs go with it", || {
        let gone = run("direct", &format!("test ! -e {dir}"));
        gone.status.success().then_some(())
    });
}
