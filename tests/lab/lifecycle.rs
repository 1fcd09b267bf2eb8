//! A lab's life, with the real binary: up, changed, hurt, killed, resumed, down.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::place::{Place, eventually, host, init_of, namespace_of, now_ticks, processes_in, text};

const KINDS: [&str; 5] = ["pid", "net", "mnt", "uts", "ipc"];

/// The lab's processes on the host, and every namespace that they are in.
fn anatomy(init: i32) -> (Vec<i32>, Vec<(&'static str, BTreeSet<u64>)>) {
    let own = BTreeSet::from([namespace_of(init, "pid").expect("PID 1 is there")]);
    let processes = processes_in("pid", &own, now_ticks());
    let namespaces = KINDS.map(|kind| {
        let inodes = processes.iter().filter_map(|pid| namespace_of(*pid, kind));
        (kind, inodes.collect())
    });
    (processes, namespaces.into())
}

/// Eventually: who is dead shows until the host's init has taken note.
fn nothing_is_left_in(namespaces: &[(&str, BTreeSet<u64>)]) {
    let now = now_ticks();
    eventually("nothing of the lab is left", || {
        let left = namespaces.iter().any(|(kind, inodes)| {
            let own = |inode: &u64| Some(*inode) != namespace_of(1, kind);
            let inodes = inodes.iter().copied().filter(own).collect();
            !processes_in(kind, &inodes, now).is_empty()
        });
        (!left).then_some(())
    });
}

fn node_names(place: &Place, lab: &str) -> Vec<String> {
    let status = place.status(lab);
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    nodes
        .iter()
        .filter_map(|node| node["name"].as_str().map(str::to_owned))
        .collect()
}

pub fn pid_of(place: &Place, lab: &str, service: &str) -> Option<i64> {
    let status = place.status(lab);
    if service == "server" {
        return status["server"]["pid"].as_i64();
    }
    let nodes = status["nodes"].as_array()?;
    let node = nodes.iter().find(|node| node["name"] == service)?;
    node["agent"]["pid"].as_i64()
}

fn is_ready(place: &Place, lab: &str, node: &str) -> bool {
    let status = place.status(lab);
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    nodes
        .iter()
        .any(|found| found["name"] == node && found["status"] == "Ready")
}

/// The whole of it, for root and for everybody else.
fn lives_and_leaves_nothing(place: &Place) {
    let before = host();
    let table = place.ok(&["up"]);
    for node in ["node-1", "node-2", "node-3"] {
        let line = table.lines().find(|line| line.contains(node));
        assert!(line.is_some_and(|line| line.contains("Ready")), "{table}");
    }
    assert_eq!(host(), before, "the host changed");

    let inside = place.ok(&["shell", "node-2", "--", "sh", "-c", "hostname; ip -o addr"]);
    assert!(inside.starts_with("node-2\n"), "{inside}");
    assert!(inside.contains("172.30.0.12/16"), "{inside}");
    place.ok(&["shell", "node-1", "--", "ping", "-c1", "-W5", "172.30.0.13"]);
    let passed_on = place.podnet(&["shell", "node-1", "--", "sh", "-c", "exit 7"]);
    assert_eq!(passed_on.status.code(), Some(7));

    let (processes, namespaces) = anatomy(init_of(&place.lab("default")));
    assert!(
        processes.len() >= 5,
        "PID 1, server, three agents: {processes:?}"
    );
    place.ok(&["down"]);
    nothing_is_left_in(&namespaces);
    assert!(!place.lab("default").exists());
    assert_eq!(host(), before, "the host changed");

    let again = place.podnet(&["down"]);
    assert!(again.status.success());
    assert!(text(&again.stderr).contains("is not there"));
}

#[test]
fn lives_and_leaves_nothing_as_who_runs_this() {
    lives_and_leaves_nothing(&Place::new());
}

#[test]
fn lives_and_leaves_nothing_as_an_ordinary_user() {
    lives_and_leaves_nothing(&Place::ordinary());
}

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
fn two_ups_at_once_make_one_lab() {
    let place = Place::new();
    let outputs = std::thread::scope(|scope| {
        let up = || scope.spawn(|| place.podnet(&["up", "--nodes", "2"]));
        [up(), up()].map(|up| up.join().expect("no panic"))
    });
    let succeeded = outputs.iter().filter(|output| output.status.success());
    assert!(succeeded.count() >= 1);
    for output in outputs.iter().filter(|output| !output.status.success()) {
        let said = text(&output.stderr);
        assert!(said.contains("another `podnet up` is starting"), "{said}");
    }
    assert!(is_ready(&place, "default", "node-2"));
}

#[test]
fn up_twice_converges() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    let agent = pid_of(&place, "default", "node-1");
    let same = place.podnet(&["up"]);
    assert!(same.status.success());
    assert!(text(&same.stderr).contains("is up already"));
    assert_eq!(node_names(&place, "default"), ["node-1", "node-2"]);

    place.ok(&["up", "--nodes", "4"]);
    assert_eq!(node_names(&place, "default").len(), 4);
    place.ok(&["up", "--nodes", "1"]);
    assert_eq!(node_names(&place, "default"), ["node-1"]);
    assert_eq!(
        pid_of(&place, "default", "node-1"),
        agent,
        "it was restarted"
    );

    let (code, refusal) = place.refused(&["up", "--cluster-cidr", "10.9.0.0/16"]);
    assert_eq!(code, 1);
    assert!(
        refusal.contains("lab default is already running with cluster range 10.244.0.0/16"),
        "{refusal}"
    );
}

#[test]
fn nodes_are_added_and_removed_one_by_one() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "1"]);
    place.ok(&["node", "add", "gpu-1", "--label", "gpu=true"]);
    assert_eq!(node_names(&place, "default"), ["gpu-1", "node-1"]);
    let (_, twice) = place.refused(&["node", "add", "gpu-1"]);
    assert!(twice.contains("gpu-1"), "{twice}");
    place.ok(&["shell", "gpu-1", "--", "ping", "-c1", "-W5", "172.30.0.11"]);
    place.ok(&["node", "remove", "gpu-1"]);
    assert_eq!(node_names(&place, "default"), ["node-1"]);
    assert!(!place.lab("default").join("nodes/gpu-1").exists());
    let (_, missing) = place.refused(&["node", "remove", "gpu-1"]);
    assert!(missing.contains("no node gpu-1"), "{missing}");
}

#[test]
fn two_labs_never_meet() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for lab in ["one", "two"] {
            let place = &place;
            scope.spawn(move || place.ok(&["up", "--lab", lab, "--nodes", "2"]));
        }
    });
    let (one, two) = (init_of(&place.lab("one")), init_of(&place.lab("two")));
    for kind in KINDS {
        assert_ne!(namespace_of(one, kind), namespace_of(two, kind), "{kind}");
    }
    place.ok(&["down", "--lab", "one"]);
    assert!(is_ready(&place, "two", "node-2"));
    place.ok(&[
        "shell",
        "--lab",
        "two",
        "node-1",
        "--",
        "ping",
        "-c1",
        "-W5",
        "172.30.0.12",
    ]);
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
fn exported_namespaces_have_names_until_down() {
    let place = Place::new();
    if !nix::unistd::geteuid().is_root() {
        let (_, refusal) = place.refused(&["up", "--export-netns"]);
        assert!(refusal.contains("only root"), "{refusal}");
        return;
    }
    let before = host();
    let lab = format!("export-{}", std::process::id());
    let named = |node: &str| std::path::PathBuf::from(format!("/run/netns/{lab}-{node}"));
    place.ok(&["up", "--lab", &lab, "--nodes", "2", "--export-netns"]);
    let agents = place.ok(&[
        "shell",
        "--lab",
        &lab,
        "node-2",
        "--",
        "stat",
        "-Lc",
        "%i",
        "/proc/self/ns/net",
    ]);
    let shown =
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(named("node-2")).expect("a name"));
    assert_eq!(agents.trim(), shown.to_string());
    place.ok(&["node", "remove", "--lab", &lab, "node-2"]);
    assert!(!named("node-2").exists());
    place.ok(&["down", "--lab", &lab]);
    assert!(!named("node-1").exists());
    assert_eq!(host(), before, "the host changed");
}

#[test]
fn a_lab_of_another_version_is_refused_and_can_be_cleared() {
    let place = Place::new();
    let lab = place.lab("old");
    fs::create_dir(&lab).expect("a directory");
    fs::write(lab.join("lab.json"), r#"{"format": 0, "version": "0.0.1"}"#).expect("written");
    let (code, refusal) = place.refused(&["up", "--lab", "old"]);
    assert_eq!(code, 1);
    for part in [
        "stale lab of an older version",
        "0.0.1",
        "podnet down --lab old",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
    place.ok(&["down", "--lab", "old"]);
    assert!(!lab.exists());
}

#[test]
fn a_node_that_cannot_become_ready_is_explained() {
    let place = Place::new();
    let (code, refusal) = place.refused(&["up", "--nodes", "1", "--wait-timeout", "0"]);
    assert_eq!(code, 1);
    assert!(refusal.contains("node-1"), "{refusal}");
    assert!(refusal.contains("agent.log"), "{refusal}");
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
fn pods_are_entered_and_go_with_their_node() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    for (pod, node) in [("one", "node-1"), ("two", "node-2")] {
        place.ok(&["run", pod, "--image=pause", "--node", node]);
    }
    let address = |pod: &str| {
        eventually("the pod has an address", || {
            let args = ["shell", pod, "--", "ip", "-4", "-o", "addr", "show", "eth0"];
            let shown = place.podnet(&args);
            let shown = text(&shown.stdout);
            let field = shown.split_whitespace().nth(3)?;
            Some(field.split('/').next()?.to_owned())
        })
    };
    let (one, two) = (address("one"), address("two"));
    assert!(one.starts_with("10.244."), "{one}");
    place.ok(&["shell", "one", "--", "ping", "-c1", "-W5", &two]);
    assert_eq!(place.ok(&["shell", "two", "--", "hostname"]), "two\n");

    let pids = |of: &str| place.ok(&["shell", "underlay", "--", "pgrep", "-f", of]);
    assert_eq!(pids("podnet-pause.*nodes/node-2").lines().count(), 1);
    place.ok(&["node", "remove", "node-2"]);
    let gone = place.podnet(&[
        "shell",
        "underlay",
        "--",
        "pgrep",
        "-f",
        "podnet-pause.*nodes/node-2",
    ]);
    assert_eq!(gone.status.code(), Some(1), "{}", text(&gone.stdout));
    assert_eq!(pids("podnet-pause.*nodes/node-1").lines().count(), 1);
    let (_, missing) = place.refused(&["shell", "two", "--", "true"]);
    assert!(missing.contains("no running pod default/two"), "{missing}");
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
fn every_family_has_its_lab() {
    for (ranges, addresses) in [
        ("fd00:10:244::/56", &["fd00:172:30::c"][..]),
        (
            "10.244.0.0/16,fd00:10:244::/56",
            &["172.30.0.12", "fd00:172:30::c"],
        ),
    ] {
        let place = Place::new();
        place.ok(&["up", "--nodes", "2", "--cluster-cidr", ranges]);
        for address in addresses {
            place.ok(&["shell", "node-1", "--", "ping", "-c1", "-W5", address]);
        }
    }
}
