//! What containers of one pod share, and in which order they begin.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{lab, sh, terminated};
use crate::cluster::Cluster;
use crate::place::{Place, eventually};

#[test]
fn a_web_server_and_what_writes_its_pages_share_a_volume_and_localhost() {
    let cluster = lab();
    cluster.create(json!({
        "metadata": {"name": "web"},
        "spec": {
            "volumes": [{"name": "pages", "emptyDir": {}}],
            "containers": [
                {"name": "server", "image": "registry.k8s.io/e2e-test-images/agnhost", "args": ["netexec", "--http-port=80"]},
                {
                    "name": "fetcher", "image": "busybox",
                    "volumeMounts": [{"name": "pages", "mountPath": "/out"}],
                    "command": sh("until exec 3<>/dev/tcp/127.0.0.1/80; do sleep 0.1; done 2>/dev/null; echo fetched > /out/page; sleep 1000"),
                },
                {
                    "name": "reader", "image": "busybox",
                    "volumeMounts": [{"name": "pages", "mountPath": "/in", "readOnly": true}],
                    "command": sh("until grep fetched /in/page; do sleep 0.1; done 2>/dev/null; sleep 1000"),
                },
            ],
        },
    }).with_bash("fetcher"));
    cluster.ready("web");
    eventually("the page is read", || {
        cluster
            .log("web", "reader", 0)
            .contains("fetched")
            .then_some(())
    });
}

/// `sh` may be one that has no /dev/tcp.
trait WithBash {
    fn with_bash(self, container: &str) -> Value;
}

impl WithBash for Value {
    fn with_bash(mut self, container: &str) -> Value {
        let containers = self["spec"]["containers"].as_array_mut().expect("a list");
        for spec in containers
            .iter_mut()
            .filter(|spec| spec["name"] == container)
        {
            spec["command"][0] = json!("bash");
        }
        self
    }
}

#[test]
fn one_port_is_for_one_container_of_a_pod() {
    let cluster = lab();
    let server = |name: &str| json!({"name": name, "image": "luksa/kubia"});
    cluster.create(json!({
        "metadata": {"name": "twins"},
        "spec": {"restartPolicy": "Never", "containers": [server("one"), server("two")]},
    }));
    let loser = eventually("one fails", || {
        let pod = cluster.get("twins")?;
        let statuses = pod["status"]["containerStatuses"].as_array()?.clone();
        let failed = statuses
            .iter()
            .find(|status| terminated(status, "state")["exitCode"].as_i64() > Some(0))?;
        failed["name"].as_str().map(str::to_owned)
    });
    let log = cluster.log("twins", &loser, 0);
    assert!(log.to_lowercase().contains("address"), "{log}");
    let pod = cluster.get("twins").expect("it is there");
    assert_eq!(pod["status"]["phase"], "Running", "the other goes on");
}

#[test]
fn init_containers_run_before_and_sidecars_beside() {
    let cluster = lab();
    let mount = json!([{"name": "v", "mountPath": "/v"}]);
    let probe = json!({"exec": {"command": ["cat", "/v/up"]}, "periodSeconds": 1});
    cluster.create(json!({
        "metadata": {"name": "staged"},
        "spec": {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "initContainers": [
                {"name": "first", "image": "busybox", "command": sh("sleep 0.3; echo first >> /v/order"), "volumeMounts": mount},
                {"name": "side", "image": "busybox", "restartPolicy": "Always", "startupProbe": probe,
                 "command": sh("sleep 0.3; echo side >> /v/order; touch /v/up; sleep 1000"), "volumeMounts": mount},
                {"name": "last", "image": "busybox", "command": sh("echo last >> /v/order"), "volumeMounts": mount},
            ],
            "containers": [{"name": "main", "image": "busybox", "command": sh("echo main >> /v/order; sleep 1000"), "volumeMounts": mount}],
        },
    }));
    cluster.ready("staged");
    let order = cluster.pod_dir("staged").join("volumes/v/order");
    eventually("all have written", || {
        let text = fs::read_to_string(&order).ok()?;
        (text == "first\nside\nlast\nmain\n").then_some(())
    });
}

#[test]
fn a_pod_in_its_nodes_network_has_its_nodes_address() {
    let cluster = lab();
    cluster.create(json!({
        "metadata": {"name": "host"},
        "spec": {"hostNetwork": true, "containers": [{"name": "main", "image": "busybox", "command": sh("hostname; sleep 1000")}]},
    }));
    let pod = cluster.ready("host");
    assert_eq!(pod["status"]["podIP"], pod["status"]["hostIP"]);
    eventually("its name is the node's", || {
        cluster
            .log("host", "main", 0)
            .contains("node-1")
            .then_some(())
    });
    cluster.place.ok(&["check"]);
    cluster.delete("host", None);
    eventually("it is gone", || cluster.get("host").is_none().then_some(()));
    cluster.place.ok(&["check"]);
}

/// As an ordinary user, whose lab maps one user only.
#[test]
fn an_ordinary_users_pods_live_too() {
    let cluster = Cluster::up_in(Place::ordinary(), "restartBackOffScale: 0.001");
    cluster.create(json!({
        "metadata": {"name": "web"},
        "spec": {"containers": [
            {"name": "main", "image": "luksa/kubia", "readinessProbe": {"periodSeconds": 1, "httpGet": {"path": "/", "port": 8080}}},
            {"name": "other", "image": "busybox", "command": sh("id -u; sleep 1000")},
        ]},
    }));
    cluster.ready("web");
    eventually("it is root in there", || {
        cluster
            .log("web", "other", 0)
            .contains(" F 0")
            .then_some(())
    });
    cluster.delete("web", None);
    eventually("it is gone", || cluster.get("web").is_none().then_some(()));
    let pods: Vec<PathBuf> = fs::read_dir(cluster.pods_dir())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert!(pods.is_empty(), "{pods:?}");
}
