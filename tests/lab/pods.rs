//! The life of pods' containers, in real labs.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::observe::pid_of;
use crate::place::{Place, eventually};

/// A lab of one node whose back-off takes a thousandth of its time.
fn lab() -> Cluster {
    Cluster::up("restartBackOffScale: 0.001")
}

fn sh(script: &str) -> Value {
    json!(["sh", "-c", script])
}

/// Processes of the machine that have this word in their command line.
fn processes(word: &str) -> Vec<i32> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has = |pid: &i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command
            .split(|byte| *byte == 0)
            .any(|argument| argument == word.as_bytes())
    };
    numbers.filter(has).collect()
}

/// A number of seconds to sleep that no other test sleeps.
fn unique(test: u32) -> String {
    format!("{}{test:03}", 100_000 + std::process::id())
}

fn terminated(status: &Value, which: &str) -> Value {
    status[which]["terminated"].clone()
}

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
fn what_dies_is_started_again_and_says_how_it_ended() {
    let cluster = lab();
    let time = unique(1);
    cluster.create(json!({
        "metadata": {"name": "worker"},
        "spec": {"containers": [{"name": "main", "image": "busybox", "command": ["sleep", time]}]},
    }));
    cluster.ready("worker");
    let [pid] = processes(&time)[..] else {
        panic!("one process");
    };
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("killed");
    let status = cluster.container("worker", "main", |status| {
        status["restartCount"] == 1 && status["ready"] == true
    });
    let last = terminated(&status, "lastState");
    assert_eq!(
        (&last["exitCode"], &last["signal"]),
        (&json!(137), &json!(9))
    );
    assert_eq!(last["reason"], "Error");
    assert_eq!(processes(&time).len(), 1);
}

#[test]
fn a_killed_sandbox_is_made_again_and_counts_as_a_restart() {
    let cluster = lab();
    let time = unique(2);
    cluster.create(json!({
        "metadata": {"name": "worker"},
        "spec": {"containers": [{"name": "main", "image": "busybox", "command": ["sleep", time]}]},
    }));
    cluster.ready("worker");
    let uid = cluster.uid("worker");
    let dir = cluster.pod_dir("worker").display().to_string();
    let pause = processes(&dir);
    assert_eq!(pause.len(), 1, "the pause process of {uid}");
    let [container] = processes(&time)[..] else {
        panic!("one process");
    };
    kill(Pid::from_raw(pause[0]), Signal::SIGKILL).expect("killed");
    let status = cluster.container("worker", "main", |status| {
        status["restartCount"] == 1 && status["ready"] == true
    });
    assert_eq!(terminated(&status, "lastState")["exitCode"], 137);
    let now = processes(&time);
    assert!(now.len() == 1 && now[0] != container, "{now:?}");
    assert!(cluster.has_event("worker", "SandboxChanged", "Pod sandbox changed"));
}

#[test]
fn an_agent_that_starts_over_touches_nothing() {
    let cluster = lab();
    let time = unique(3);
    cluster.create(json!({
        "metadata": {"name": "worker"},
        "spec": {
            "initContainers": [
                {"name": "once", "image": "busybox", "command": sh("echo once")},
                {"name": "side", "image": "busybox", "restartPolicy": "Always", "command": ["sleep", "1000"]},
            ],
            "containers": [{"name": "main", "image": "busybox", "command": ["sleep", time]}],
        },
    }));
    cluster.ready("worker");
    // One restart, so that there is a count to lose.
    kill(Pid::from_raw(processes(&time)[0]), Signal::SIGKILL).expect("killed");
    cluster.container("worker", "main", |status| {
        status["restartCount"] == 1 && status["ready"] == true
    });
    let before = (
        processes(&time),
        cluster.get("worker").expect("it is there")["status"].clone(),
    );
    let place = &cluster.place;
    let agent = pid_of(place, "default", "node-1").expect("it runs");
    let kill_it = format!("kill -9 {agent}");
    place.ok(&["shell", "underlay", "--", "sh", "-c", &kill_it]);
    eventually("another agent", || {
        pid_of(place, "default", "node-1").filter(|pid| *pid != agent)
    });
    // It is at work again once it runs something new.
    cluster.create(json!({
        "metadata": {"name": "later"},
        "spec": {"containers": [{"name": "main", "image": "pause"}]},
    }));
    cluster.ready("later");
    let after = (
        processes(&time),
        cluster.get("worker").expect("it is there")["status"].clone(),
    );
    assert_eq!(before, after);
    // And it still tends the old: a death is seen.
    kill(Pid::from_raw(processes(&time)[0]), Signal::SIGKILL).expect("killed");
    cluster.container("worker", "main", |status| {
        status["restartCount"] == 2 && status["ready"] == true
    });
}

#[test]
fn a_pod_that_ignores_sigterm_is_killed_when_its_time_is_up() {
    let cluster = lab();
    let time = unique(4);
    cluster.create(stubborn(&time, 2));
    cluster.ready("stubborn");
    let dir = cluster.pod_dir("stubborn");
    cluster.delete("stubborn", None);
    eventually("it was asked first", || {
        let log = cluster.log_in(&dir, "main", 0)?;
        log.contains("no").then_some(())
    });
    assert!(!processes(&time).is_empty(), "it was not killed at once");
    eventually("it is gone", || {
        cluster.get("stubborn").is_none().then_some(())
    });
    assert_eq!(processes(&time), [0i32; 0]);
    assert!(!dir.exists(), "{} is left", dir.display());
    assert!(cluster.has_event("stubborn", "Killing", "Stopping container main"));
}

/// Ignores SIGTERM, and says that it got one.
fn stubborn(time: &str, grace_seconds: u32) -> Value {
    let script = format!("trap 'echo no' TERM; while :; do sleep {time} & wait; done");
    json!({
        "metadata": {"name": "stubborn"},
        "spec": {
            "terminationGracePeriodSeconds": grace_seconds,
            "containers": [{"name": "main", "image": "busybox", "command": sh(&script)}],
        },
    })
}

#[test]
fn an_agent_that_starts_over_goes_on_with_a_deletion() {
    let cluster = lab();
    let time = unique(5);
    cluster.create(stubborn(&time, 4));
    cluster.ready("stubborn");
    let dir = cluster.pod_dir("stubborn");
    cluster.delete("stubborn", None);
    let asked = || Some(cluster.log_in(&dir, "main", 0)?.contains("no"));
    eventually("it was asked", || asked().filter(|asked| *asked));
    let agent = pid_of(&cluster.place, "default", "node-1").expect("it runs");
    let kill_it = format!("kill -9 {agent}");
    let place = &cluster.place;
    place.ok(&["shell", "underlay", "--", "sh", "-c", &kill_it]);
    let gone = || cluster.get("stubborn").is_none().then_some(());
    eventually("it is gone", gone);
    assert_eq!(processes(&time), [0i32; 0]);
    assert!(!dir.exists(), "{} is left", dir.display());
}

#[test]
fn a_deletion_can_be_hurried() {
    for hurry in [Some(1), Some(0)] {
        let cluster = lab();
        let time = unique(6 + hurry.unwrap_or(0));
        cluster.create(stubborn(&time, 3600));
        cluster.ready("stubborn");
        let dir = cluster.pod_dir("stubborn");
        cluster.delete("stubborn", None);
        let asked = || Some(cluster.log_in(&dir, "main", 0)?.contains("no"));
        eventually("it was asked", || asked().filter(|asked| *asked));
        cluster.delete("stubborn", hurry);
        let gone = || cluster.get("stubborn").is_none().then_some(());
        eventually("it is gone", gone);
        let over = || (processes(&time).is_empty() && !dir.exists()).then_some(());
        eventually("nothing of it is left", over);
    }
}

#[test]
fn another_image_in_the_object_is_another_run() {
    let cluster = lab();
    cluster.create(json!({
        "metadata": {"name": "changing"},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [
            {"name": "main", "image": "busybox", "command": ["sleep", "1000"]},
        ]},
    }));
    cluster.ready("changing");
    let mut containers = cluster.get("changing").expect("it is there")["spec"]["containers"].take();
    containers[0]["image"] = json!("debian");
    cluster.patch("changing", json!({"spec": {"containers": containers}}));
    let status = cluster.container("changing", "main", |status| {
        status["restartCount"] == 1 && status["ready"] == true
    });
    assert_eq!(status["image"], "debian");
    assert!(cluster.has_event("changing", "Killing", "definition changed"));
}

#[test]
fn what_is_told_to_end_ends_in_order_its_hook_first_and_sidecars_last() {
    let cluster = lab();
    let out = |what: &str| json!([{"name": "v", "mountPath": what}]);
    let note = |what: &str| {
        sh(&format!(
            "trap 'echo {what} >> /v/order; exit 0' TERM; : > /v/{what}; while :; do sleep 0.05; done"
        ))
    };
    let keep = tempfile::tempdir().expect("a directory");
    cluster.create(json!({
        "metadata": {"name": "orderly"},
        "spec": {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "initContainers": [
                {"name": "s1", "image": "busybox", "restartPolicy": "Always", "command": note("s1"), "volumeMounts": out("/v")},
                {"name": "s2", "image": "busybox", "restartPolicy": "Always", "command": note("s2"), "volumeMounts": out("/v")},
            ],
            "containers": [{
                "name": "main", "image": "busybox", "command": note("main"), "volumeMounts": out("/v"),
                "lifecycle": {"preStop": {"exec": {"command": sh("echo hook >> /v/order")}}},
            }],
        },
    }));
    cluster.ready("orderly");
    let order = cluster.pod_dir("orderly").join("volumes/v/order");
    // The directory goes with the pod: a second name keeps the file.
    let kept = keep.path().join("order");
    // Before it has its trap, a process 1 takes no notice of SIGTERM.
    let ready = |name: &&str| order.with_file_name(name).exists();
    eventually("all listen to SIGTERM", || {
        ["main", "s1", "s2"].iter().all(ready).then_some(())
    });
    fs::write(&order, "").expect("written");
    fs::hard_link(&order, &kept).expect("kept");
    cluster.delete("orderly", None);
    eventually("it is gone", || {
        cluster.get("orderly").is_none().then_some(())
    });
    assert_eq!(
        fs::read_to_string(kept).expect("kept"),
        "hook\nmain\ns2\ns1\n"
    );
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
fn a_finished_pod_keeps_its_log_and_gives_its_address_back() {
    let cluster = lab();
    cluster.create(json!({
        "metadata": {"name": "job"},
        "spec": {"restartPolicy": "Never", "containers": [
            {"name": "main", "image": "busybox", "command": sh("echo done; echo bye > /dev/termination-log")},
        ]},
    }));
    let pod = cluster.phase("job", "Succeeded");
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(terminated(status, "state")["reason"], "Completed");
    assert_eq!(terminated(status, "state")["message"], "bye\n");
    let dir = cluster.pod_dir("job");
    eventually("its sandbox is gone", || {
        processes(&dir.display().to_string())
            .is_empty()
            .then_some(())
    });
    assert!(cluster.log("job", "main", 0).contains("done"));
    cluster.delete("job", None);
    eventually("its directory is gone", || (!dir.exists()).then_some(()));
}

#[test]
fn what_comes_of_an_end_is_the_restart_policys() {
    let cluster = lab();
    for (name, policy, script) in [
        ("fails", "Never", "exit 3"),
        ("succeeds", "OnFailure", "exit 0"),
        ("goes-on", "Always", "exit 0"),
        ("tries-again", "OnFailure", "exit 1"),
    ] {
        cluster.create(json!({
            "metadata": {"name": name},
            "spec": {"restartPolicy": policy, "containers": [{"name": "main", "image": "busybox", "command": sh(script)}]},
        }));
    }
    let failed = cluster.phase("fails", "Failed");
    assert_eq!(
        terminated(&failed["status"]["containerStatuses"][0], "state")["exitCode"],
        3
    );
    cluster.phase("succeeds", "Succeeded");
    for name in ["goes-on", "tries-again"] {
        cluster.container(name, "main", |status| {
            status["restartCount"].as_i64() > Some(2)
        });
        let pod = cluster.get(name).expect("it is there");
        assert_eq!(pod["status"]["phase"], "Running", "{name}");
    }
}

#[test]
fn a_crash_loop_is_slowed_down_and_says_so() {
    // Long enough a pause to see it.
    let cluster = Cluster::up("restartBackOffScale: 0.1");
    cluster.create(json!({
        "metadata": {"name": "crash"},
        "spec": {"containers": [{"name": "main", "image": "busybox", "command": sh("exit 7")}]},
    }));
    let status = cluster.container("crash", "main", |status| {
        status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    let message = status["state"]["waiting"]["message"]
        .as_str()
        .expect("a message")
        .to_owned();
    assert!(
        message.starts_with("back-off 1s restarting failed container=main pod=crash_default("),
        "{message}"
    );
    assert_eq!(terminated(&status, "lastState")["exitCode"], 7);
    eventually("it is said", || {
        cluster
            .has_event(
                "crash",
                "BackOff",
                "Back-off restarting failed container main",
            )
            .then_some(())
    });
    cluster.container("crash", "main", |status| {
        status["restartCount"].as_i64() > Some(1)
    });
}

#[test]
fn a_pod_has_its_time() {
    let cluster = lab();
    cluster.create(json!({
        "metadata": {"name": "slow"},
        "spec": {"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 1,
                 "containers": [{"name": "main", "image": "busybox", "command": ["sleep", "1000"]}]},
    }));
    let pod = cluster.phase("slow", "Failed");
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
    eventually("it is said", || {
        cluster
            .has_event(
                "slow",
                "DeadlineExceeded",
                "longer than the specified deadline",
            )
            .then_some(())
    });
}

#[test]
fn an_image_nobody_knows_and_a_program_that_is_not_there_are_explained() {
    let cluster = Cluster::up("");
    cluster.create(json!({
        "metadata": {"name": "unknown"},
        "spec": {"containers": [{"name": "main", "image": "no-such-image"}]},
    }));
    cluster.create(json!({
        "metadata": {"name": "empty"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox", "command": ["no-such-program"]}]},
    }));
    for reason in ["ErrImagePull", "ImagePullBackOff"] {
        cluster.container("unknown", "main", |status| {
            status["state"]["waiting"]["reason"] == reason
        });
    }
    eventually("it is said", || {
        cluster
            .has_event("unknown", "Failed", "podnet image load")
            .then_some(())
    });
    let pod = cluster.phase("empty", "Failed");
    let end = terminated(&pod["status"]["containerStatuses"][0], "state");
    assert_eq!(
        (&end["reason"], &end["exitCode"]),
        (&json!("StartError"), &json!(128))
    );
    let message = end["message"].as_str().expect("a message");
    assert!(message.contains("no-such-program"), "{message}");
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
