//! How pods end: asked, hurried, finished or out of time.

use std::fs;

use serde_json::{Value, json};

use super::{lab, processes, sh, terminated, unique};
use crate::observe::pid_of;
use crate::place::eventually;

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
