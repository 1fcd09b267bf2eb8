//! A lab's life, with the real binary: up, changed, entered, down.

use std::fs;

use crate::observe::{KINDS, anatomy, is_ready, node_names, nothing_is_left_in, pid_of};
use crate::place::{Place, eventually, host, init_of, namespace_of, text};

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

/// New nodes take the places, and so the addresses, of those that go.
#[test]
fn all_nodes_of_a_lab_can_be_others() {
    let place = Place::new();
    let ranges = "10.244.0.0/16,fd00:10:244::/56";
    place.ok(&["up", "--nodes", "2", "--cluster-cidr", ranges]);
    place.ok(&["run", "web", "--image=pause", "--node", "node-1"]);
    let file = place.root().join("others.yaml");
    let others = "apiVersion: podnet.dev/v1alpha1\nkind: Lab\n\
                  spec: {nodes: [{name: front}, {name: back}, {name: third}]}\n";
    fs::write(&file, others).expect("written");
    let changed = place.podnet(&["up", "-f", &file.to_string_lossy()]);
    let said = text(&changed.stderr);
    assert!(changed.status.success(), "{said}");
    assert!(
        said.contains("pods that go with node-1, node-2: default/web"),
        "{said}"
    );
    assert_eq!(node_names(&place, "default"), ["back", "front", "third"]);
    place.ok(&["check"]);
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
    assert!(
        missing.contains("no node of that name and no running pod default/two"),
        "{missing}"
    );
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
