//! What is killed, at any moment, and what comes of it.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fabric::address;
use crate::observe::{anatomy, is_ready, node_names, nothing_is_left_in, pid_of};
use crate::place::{Place, eventually, host, init_of, text};

#[test]
fn a_killed_supervisor_takes_everything_and_up_resumes() {
    let place = Place::new();
    let before = host();
    place.ok(&["up", "--nodes", "2"]);
    let lab = place.lab("default");
    let (ca, port) = (
        fs::read(lab.join("pki/ca.crt")).expect("a certificate"),
        place.status("default")["api"].clone(),
    );
    let init = init_of(&lab);
    let (processes, namespaces) = anatomy(init);
    assert!(processes.len() >= 4, "{processes:?}");
    kill(Pid::from_raw(init), Signal::SIGKILL).expect("killed");
    nothing_is_left_in(&namespaces);
    assert_eq!(host(), before, "the host changed");

    let dead = place.podnet(&["status"]);
    assert_eq!(dead.status.code(), Some(1));
    assert!(text(&dead.stderr).contains("was killed"));

    let resumed = place.podnet(&["up"]);
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert!(
        text(&resumed.stderr).contains("going on with what it kept"),
        "{}",
        text(&resumed.stderr)
    );
    assert_eq!(node_names(&place, "default"), ["node-1", "node-2"]);
    assert_eq!(fs::read(lab.join("pki/ca.crt")).expect("kept"), ca);
    assert_eq!(place.status("default")["api"], port);
}

#[test]
fn up_right_after_a_kill_waits_for_the_dying() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    for _ in 0..3 {
        let init = init_of(&place.lab("default"));
        kill(Pid::from_raw(init), Signal::SIGKILL).expect("killed");
        place.ok(&["up"]);
        assert!(is_ready(&place, "default", "node-1"));
    }
}

/// The PID 1 of a lab that may still be starting.
fn starting_init(lab: &str) -> Option<i32> {
    let wanted = format!("supervise\0--lab\0{lab}\0--init\0");
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid: &i32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).ends_with(&wanted)
        })
}

#[test]
fn a_kill_at_any_moment_of_the_start_is_got_over() {
    let place = Place::new();
    let lab = format!("hurt-{}", std::process::id());
    for moment in 0..10 {
        let mut up = place
            .command(&["up", "--lab", &lab, "--nodes", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("up starts");
        let init = eventually("a PID 1", || starting_init(&lab));
        std::thread::sleep(Duration::from_millis(15 * moment));
        // It may have ended by itself only if `up` failed, which comes next.
        kill(Pid::from_raw(init), Signal::SIGKILL).expect("killed");
        up.wait().expect("up ends");
        place.ok(&["up", "--lab", &lab]);
        assert!(is_ready(&place, &lab, "node-2"), "moment {moment}");
        if moment % 2 == 0 {
            place.ok(&["down", "--lab", &lab]);
        }
    }
}

#[test]
fn what_dies_is_started_again() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    for service in ["server", "node-2"] {
        let old = pid_of(&place, "default", service).expect("it runs");
        place.ok(&[
            "shell",
            "underlay",
            "--",
            "sh",
            "-c",
            &format!("kill -9 {old}"),
        ]);
        eventually("another incarnation", || {
            let new = pid_of(&place, "default", service)?;
            (new != old).then_some(())
        });
        eventually("ready again", || {
            is_ready(&place, "default", "node-2").then_some(())
        });
    }
}

#[test]
fn a_server_that_cannot_start_is_explained() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "1"]);
    let lab = place.lab("default");
    kill(Pid::from_raw(init_of(&lab)), Signal::SIGKILL).expect("killed");
    eventually("it is dead", || {
        let status = place.podnet(&["status"]);
        text(&status.stderr).contains("was killed").then_some(())
    });
    fs::write(lab.join("store.redb"), "no database").expect("spoilt");
    let (code, refusal) = place.refused(&["up"]);
    assert_eq!(code, 1);
    assert!(
        refusal.contains("the API server does not start"),
        "{refusal}"
    );
    assert!(refusal.contains("store.redb"), "{refusal}");
}

#[test]
fn orphans_are_reaped_whatever_ended_them() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "0"]);
    // The last one is a real-time signal, which has no name.
    for signal in ["15", "9", "40"] {
        let script = "sleep 600 >/dev/null 2>&1 & echo $!";
        let orphan = place.ok(&["shell", "underlay", "--", "sh", "-c", script]);
        let kill = format!("kill -{signal} {orphan}");
        place.ok(&["shell", "underlay", "--", "sh", "-c", &kill]);
        let entry = format!("/proc/{}", orphan.trim());
        eventually("the orphan is reaped", || {
            let looked = place.podnet(&["shell", "underlay", "--", "test", "-e", &entry]);
            (looked.status.code() == Some(1)).then_some(())
        });
    }
    place.ok(&["status"]);
}

#[test]
fn pods_keep_talking_while_server_and_agents_die() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    for (pod, node) in [("one", "node-1"), ("two", "node-2")] {
        place.ok(&["run", pod, "--image=pause", "--node", node]);
    }
    let two = eventually("the pod has an address", || {
        let shown = place.podnet(&["shell", "two", "--", "hostname", "-I"]);
        Some(text(&shown.stdout).split_whitespace().next()?.to_owned())
    });
    eventually("the pods reach each other", || {
        let ping = ["shell", "one", "--", "ping", "-c1", "-W1", &two];
        place.podnet(&ping).status.success().then_some(())
    });
    let mut ping = place
        .command(&["shell", "one", "--", "ping", "-i0.05", "-c40", "-W5", &two])
        .stdout(Stdio::piped())
        .spawn()
        .expect("ping starts");
    let running = || ["server", "node-1", "node-2"].map(|it| pid_of(&place, "default", it));
    for _ in 0..3 {
        let old = eventually("all of them run", || {
            let pids = running();
            pids.iter().all(Option::is_some).then_some(pids)
        });
        let pids = old.iter().flatten().map(i64::to_string);
        let kill = format!("kill -9 {}", pids.collect::<Vec<_>>().join(" "));
        place.ok(&["shell", "underlay", "--", "sh", "-c", &kill]);
        eventually("others took their place", || {
            let mut pairs = running().into_iter().zip(old);
            let replaced = |(new, old): (Option<i64>, _)| new.is_some() && new != old;
            pairs.all(replaced).then_some(())
        });
    }
    assert!(ping.wait().expect("ping ends").success());
    let output = ping.stdout.take().map(std::io::read_to_string);
    let output = output.expect("its output").expect("text");
    assert!(output.contains(" 0% packet loss"), "{output}");
    eventually("ready again", || {
        let ready = ["node-1", "node-2"].map(|node| is_ready(&place, "default", node));
        (ready == [true, true]).then_some(())
    });
}

#[test]
fn a_full_disk_under_its_log_does_not_end_a_lab() {
    let place = Place::new();
    let dir = place.lab("default");
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("podnet-lab"), "").expect("a lab's");
    std::os::unix::fs::symlink("/dev/full", dir.join("supervisor.log")).expect("a link");
    place.ok(&["up", "--nodes", "1"]);
    let init = init_of(&dir);
    let agent = pid_of(&place, "default", "node-1").expect("it runs");
    // Which the supervisor has something to say about.
    let kill = format!("kill -9 {agent}");
    place.ok(&["shell", "underlay", "--", "sh", "-c", &kill]);
    eventually("another agent", || {
        let pid = pid_of(&place, "default", "node-1")?;
        (pid != agent).then_some(())
    });
    assert_eq!(init_of(&dir), init);
}

/// The directory of a node's pods cannot be read, for a while.
#[test]
fn a_node_that_cannot_be_cleared_away_is_out_all_the_same() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    place.ok(&["run", "two", "--image=pause", "--node", "node-2"]);
    let pause = "podnet-pause.*nodes/node-2";
    let paused = || place.podnet(&["shell", "underlay", "--", "pgrep", "-f", pause]);
    // A process that is not ready yet could not be picked up, and would be ended.
    address(&place, "two");
    let node = place.lab("default").join("nodes/node-2");
    let (pods, aside) = (node.join("pods"), node.join("aside"));
    fs::rename(&pods, &aside).expect("aside");
    fs::write(&pods, "no directory").expect("written");

    place.ok(&["node", "remove", "node-2"]);
    assert_eq!(node_names(&place, "default"), ["node-1"]);
    let record = fs::read_to_string(place.lab("default").join("lab.json")).expect("a record");
    assert!(!record.contains("node-2"), "{record}");
    let (_, refusal) = place.refused(&["node", "add", "node-2"]);
    assert!(
        refusal.contains("node-2 is still being cleared away"),
        "{refusal}"
    );
    assert!(paused().status.success(), "its pods cannot be found");
    place.ok(&["node", "add", "node-3"]);

    fs::remove_file(&pods).expect("removed");
    fs::rename(&aside, &pods).expect("back");
    eventually("it is cleared away", || (!node.exists()).then_some(()));
    eventually("its pods too", || {
        (paused().status.code() == Some(1)).then_some(())
    });
    place.ok(&["node", "add", "node-2"]);
}

#[test]
fn a_node_whose_object_is_deleted_goes_with_its_pods() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    place.ok(&["run", "two", "--image=pause", "--node", "node-2"]);
    eventually("the pod runs", || {
        let shown = place.podnet(&["shell", "two", "--", "true"]);
        shown.status.success().then_some(())
    });
    place.ok(&["delete", "node", "node-2"]);
    eventually("the node is gone", || {
        (node_names(&place, "default") == ["node-1"]).then_some(())
    });
    let node = place.lab("default").join("nodes/node-2");
    eventually("and what it had", || (!node.exists()).then_some(()));
    let pause = ["shell", "underlay", "--", "pgrep", "-f", "podnet-pause"];
    eventually("its pods too", || {
        (place.podnet(&pause).status.code() == Some(1)).then_some(())
    });
}
