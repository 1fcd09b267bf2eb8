//! What becomes of containers that end, or do not even begin.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::{lab, processes, sh, terminated, unique};
use crate::cluster::Cluster;
use crate::observe::pid_of;
use crate::place::eventually;

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
    for (reason, said) in [
        ("Pulling", "Pulling image \"no-such-image\""),
        ("Failed", "Failed to pull image \"no-such-image\": no image"),
        ("Failed", "podnet image load"),
    ] {
        eventually("it is said", || {
            cluster.has_event("unknown", reason, said).then_some(())
        });
    }
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
fn last_words_are_the_end_of_the_log_where_that_is_asked_for() {
    let cluster = lab();
    let container = |name: &str, policy: &str, script: &str| json!({"name": name, "image": "busybox", "terminationMessagePolicy": policy, "command": sh(script)});
    cluster.create(json!({
        "metadata": {"name": "last"},
        "spec": {"restartPolicy": "Never", "containers": [
            container("log", "FallbackToLogsOnError", "for i in $(seq 100); do echo line $i; done; echo sorry >&2; exit 3"),
            container("file", "FallbackToLogsOnError", "echo noise; echo written > /dev/termination-log; exit 3"),
            container("well", "FallbackToLogsOnError", "echo fine"),
            container("mute", "File", "echo noise; exit 3"),
        ]},
    }));
    cluster.phase("last", "Failed");
    let words = |name: &str| {
        let status = cluster.container("last", name, |_| true);
        terminated(&status, "state")["message"].clone()
    };
    let log = words("log").as_str().expect("a message").to_owned();
    assert!(
        log.starts_with("line 22\n") && log.ends_with("line 100\nsorry"),
        "{log}"
    );
    assert_eq!(words("file"), "written\n");
    assert_eq!((words("well"), words("mute")), (json!(null), json!(null)));
}

#[test]
fn a_pod_that_somebody_else_called_unready_is_called_ready_again() {
    let cluster = lab();
    cluster.create(json!({
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "main", "image": "pause"}]},
    }));
    cluster.ready("web");
    cluster.set_condition("web", "Ready", "False");
    cluster.ready("web");
}
