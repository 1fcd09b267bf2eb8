//! The fabric of a lab: what comes and goes, what is broken and mended.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::observe::pid_of;
use crate::place::{Place, eventually, init_of, text};

/// Pods with these names, running; each on the node given.
fn run_pods(place: &Place, pods: &[(&str, &str)]) {
    for (pod, node) in pods {
        place.ok(&["run", pod, "--image=pause", "--node", node]);
    }
    for (pod, _) in pods {
        address(place, pod);
    }
}

fn pod(place: &Place, name: &str) -> serde_json::Value {
    let output = place.podnet(&["get", "pod", name, "-o", "json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// The pod's address, once it runs.
pub fn address(place: &Place, name: &str) -> String {
    eventually("the pod runs", || {
        let pod = pod(place, name);
        let ip = pod["status"]["podIP"].as_str()?;
        (pod["status"]["phase"] == "Running").then(|| ip.to_owned())
    })
}

/// `podnet check` finds nothing wrong, once what was started has settled.
fn comes_to_hold(place: &Place) {
    eventually("check holds", || {
        place.podnet(&["check"]).status.success().then_some(())
    });
}

fn node_sh(place: &Place, node: &str, script: &str) -> String {
    place.ok(&["shell", node, "--", "sh", "-euc", script])
}

fn comes_back(place: &Place, node: &str, show: &str, wanted: &str) {
    eventually(wanted, || {
        let shown = place.podnet(&["shell", node, "--", "sh", "-c", show]);
        text(&shown.stdout).contains(wanted).then_some(())
    });
}

/// Each in turn, by the kernel's notification alone: the resync is an hour away.
#[test]
fn drift_is_repaired() {
    let place = Place::with_resync("3600");
    place.ok(&[
        "up",
        "--nodes",
        "2",
        "--cluster-cidr",
        "10.244.0.0/16,fd00:10:244::/56",
    ]);
    run_pods(&place, &[("one", "node-1"), ("two", "node-2")]);
    let before = address(&place, "one");
    assert_eq!(before, "10.244.0.2");
    for (breakage, show, wanted) in [
        (
            "ip route delete 10.244.1.0/24",
            "ip route",
            "10.244.1.0/24 via 172.30.0.12",
        ),
        (
            "ip -6 route delete fd00:10:244:1::/64",
            "ip -6 route",
            "fd00:10:244:1::/64 via fd00:172:30::c",
        ),
        (
            "ip route replace 10.244.1.0/24 via 172.30.0.99 proto 112",
            "ip route",
            "10.244.1.0/24 via 172.30.0.12",
        ),
        (
            "ip neighbour delete 10.244.0.2 dev cbr0",
            "ip neighbour",
            "10.244.0.2 dev cbr0 lladdr 0a:58:0a:f4:00:02 PERMANENT",
        ),
        (
            "ip neighbour replace 10.244.0.2 lladdr 02:00:00:00:00:09 dev cbr0 nud permanent",
            "ip neighbour",
            "10.244.0.2 dev cbr0 lladdr 0a:58:0a:f4:00:02 PERMANENT",
        ),
        (
            "ip address delete 10.244.0.1/24 dev cbr0",
            "ip -o address",
            "cbr0    inet 10.244.0.1/24",
        ),
        (
            "ip address add 10.99.0.1/24 dev cbr0; ip address delete fd00:10:244::1/64 dev cbr0",
            "ip -o address",
            "cbr0    inet6 fd00:10:244::1/64",
        ),
        (
            "ip link set pod2 nomaster",
            "ip -br link show master cbr0 up",
            "pod2@",
        ),
        (
            "ip link set pod2 down",
            "ip -br link show master cbr0 up",
            "pod2@",
        ),
        ("ip link delete pod2", "ip link", "alias default/one"),
        ("ip link set pod2 name renamed", "ip -br link", "pod2@"),
        (
            "ip link set cbr0 down",
            "ip -o link show cbr0",
            "UP,LOWER_UP",
        ),
        (
            "ip link delete cbr0",
            "ip -br link show master cbr0 up",
            "pod2@",
        ),
        (
            "sysctl -qw net.ipv4.ip_forward=0",
            "sysctl net.ipv4.ip_forward",
            "= 1",
        ),
    ] {
        node_sh(&place, "node-1", breakage);
        comes_back(&place, "node-1", show, wanted);
        comes_to_hold(&place);
    }
    assert_eq!(address(&place, "one"), before, "the pod kept its address");
    eventually("an event about its link", || {
        let described = place.ok(&["describe", "pod", "one"]);
        let told =
            described.contains("Pod network link pod2 is gone, it will be plugged in again.");
        told.then_some(())
    });
    let stranger = node_sh(&place, "node-1", "ip -o address show dev cbr0");
    assert!(!stranger.contains("10.99.0.1"), "{stranger}");
}

#[test]
fn a_check_that_fails_hints_at_what_strangers_left() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    run_pods(&place, &[("one", "node-1"), ("two", "node-2")]);
    comes_to_hold(&place);
    for (leave, take_away, hint) in [
        (
            "ip rule add priority 100 to 10.244.1.0/24 blackhole",
            "ip rule delete priority 100",
            "hint: node node-1 has the rule 100: to 10.244.1.0/24 blackhole, which is not podnet's",
        ),
        (
            "ip route add blackhole 10.244.1.2/32",
            "ip route delete blackhole 10.244.1.2/32",
            "hint: node node-1 has the blackhole route 10.244.1.2/32, which is not podnet's",
        ),
    ] {
        node_sh(&place, "node-1", leave);
        let failed = place.podnet(&["check"]);
        let shown = text(&failed.stdout);
        assert_eq!(failed.status.code(), Some(1), "{shown}");
        assert!(shown.contains(hint), "{hint} in {shown}");
        assert!(!shown.contains("node node-2 has"), "{shown}");
        node_sh(&place, "node-1", take_away);
        comes_to_hold(&place);
    }
}

/// Its reports wait, and are made once the API is there again.
#[test]
fn a_node_that_is_cut_off_says_so_once_and_catches_up() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "1"]);
    run_pods(&place, &[("web", "node-1")]);
    comes_to_hold(&place);
    let log = place.lab("default").join("nodes/node-1/agent.log");
    let said = |words: &str| {
        let log = fs::read_to_string(&log).expect("a log");
        log.lines().filter(|line| line.contains(words)).count()
    };
    let before = said("");
    node_sh(&place, "node-1", "ip link set eth0 down");
    eventually("the node is given up", || {
        let node = place.ok(&["get", "node", "node-1"]);
        node.contains("NotReady").then_some(())
    });
    assert_eq!(said("the API server is out of reach"), 1);
    let lines = said("") - before;
    assert!(lines < 20, "{lines} lines");
    node_sh(&place, "node-1", "ip link set eth0 up");
    let up = Instant::now();
    eventually("the node is ready", || {
        let node = place.ok(&["get", "node", "node-1"]);
        (!node.contains("NotReady")).then_some(())
    });
    assert!(up.elapsed() < Duration::from_secs(10), "{:?}", up.elapsed());
    assert_eq!(said("the API server answers again"), 1);
    comes_to_hold(&place);
}

/// The pod's side: no notification leaves its namespace.
#[test]
fn what_nobody_notices_is_repaired_by_the_resync() {
    let place = Place::with_resync("1");
    place.ok(&["up", "--nodes", "1"]);
    run_pods(&place, &[("web", "node-1")]);
    place.ok(&[
        "shell", "web", "--", "ip", "address", "flush", "dev", "eth0",
    ]);
    comes_to_hold(&place);
    let shown = place.ok(&["shell", "web", "--", "ip", "route"]);
    assert!(shown.contains("default via 10.244.0.1"), "{shown}");
}

#[test]
fn a_dry_run_prints_what_would_be_done_and_does_nothing() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    let agent = |name: &str, flags: &str| {
        let podnet = env!("CARGO_BIN_EXE_podnet");
        let script = format!(
            "{podnet} agent --dry-run --kubeconfig $KUBECONFIG --node-name {name} \
             --node-ip 172.30.0.11 {flags}"
        );
        node_sh(&place, "node-1", &script)
    };
    assert_eq!(
        agent("node-1", "--static-neighbours"),
        "",
        "nothing is left to do"
    );
    let plan = agent("node-9", "");
    for line in [
        "# node node-9 has no range yet; this assumes 10.244.8.0/24",
        "ip address add 10.244.8.1/24 dev cbr0",
        "ip address delete 10.244.0.1/24 dev cbr0",
    ] {
        assert!(plan.lines().any(|found| found == line), "{line} in {plan}");
    }
    comes_to_hold(&place);
}

#[test]
fn strangers_are_left_alone() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    node_sh(
        &place,
        "node-1",
        "ip route add 192.168.7.0/24 via 172.30.0.99 proto static
         ip neighbour add 172.30.0.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent
         ip link add vethx type veth peer vethy; ip address add 192.168.8.1/24 dev vethx
         ip link add pod77 type veth peer pod78; ip address add 192.168.9.1/24 dev pod77
         ip route delete 10.244.1.0/24; ip link set cbr0 down",
    );
    comes_to_hold(&place);
    place.ok(&["node", "remove", "node-2"]);
    comes_to_hold(&place);
    let shown = node_sh(&place, "node-1", "ip route; ip neighbour; ip -o address");
    for left in [
        "192.168.7.0/24 via 172.30.0.99",
        "172.30.0.77 dev eth0",
        "192.168.8.1/24",
        "pod77    inet 192.168.9.1/24",
    ] {
        assert!(shown.contains(left), "{left} in {shown}");
    }
}

#[test]
fn nodes_come_and_go_and_their_ranges_with_them() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "3"]);
    place.ok(&["node", "add", "node-4"]);
    for node in ["node-1", "node-2", "node-3"] {
        comes_back(&place, node, "ip route", "10.244.3.0/24 via 172.30.0.14");
    }
    comes_to_hold(&place);

    place.ok(&["node", "remove", "node-2"]);
    // Deleting the object is the same as removing the node.
    place.ok(&["delete", "node", "node-3"]);
    for (node, route) in [("node-1", "10.244.1.0/24"), ("node-4", "10.244.2.0/24")] {
        eventually("the route is gone", || {
            (!node_sh(&place, node, "ip route").contains(route)).then_some(())
        });
    }
    eventually("the ranges are free", || {
        let leases = place.ok(&["get", "leases", "-n", "kube-system"]);
        let freed = !leases.contains("10-244-1-0") && !leases.contains("10-244-2-0");
        freed.then_some(())
    });
    eventually("the lab has forgotten node-3", || {
        let status = place.status("default").to_string();
        (!status.contains("node-3")).then_some(())
    });
    comes_to_hold(&place);

    place.ok(&["node", "add", "node-2"]);
    comes_back(&place, "node-1", "ip route", "10.244.1.0/24 via");
    comes_to_hold(&place);
}

#[test]
fn a_used_up_cluster_range_says_which_and_who_holds_it() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2", "--cluster-cidr", "10.244.0.0/23"]);
    let (code, refusal) = place.refused(&["node", "add", "node-3", "--wait-timeout", "20"]);
    assert_eq!(code, 1);
    for part in ["10.244.0.0/23", "2"] {
        assert!(refusal.contains(part), "{part} in {refusal}");
    }
    comes_to_hold(&place);
}

#[test]
fn a_used_up_node_range_is_said_in_the_pods_status_and_passes() {
    let place = Place::new();
    place.ok(&[
        "up",
        "--nodes",
        "1",
        "--cluster-cidr",
        "10.244.0.0/24",
        "--node-mask",
        "29",
    ]);
    let pods = ["a", "b", "c", "d", "e", "f"].map(|pod| (pod, "node-1"));
    run_pods(&place, &pods[..5]);
    place.ok(&["run", "f", "--image=pause", "--node", "node-1"]);
    eventually("the pod says why it waits", || {
        let waiting = &pod(&place, "f")["status"]["containerStatuses"][0]["state"]["waiting"];
        let message = waiting["message"].as_str()?;
        assert!(
            message.contains("10.244.0.0/29 is used up: all 5 pod addresses"),
            "{message}"
        );
        Some(())
    });
    let freed = address(&place, "c");
    place.ok(&["delete", "pod", "c"]);
    assert_eq!(
        address(&place, "f"),
        freed,
        "it waited for an address, and got the one that came free"
    );
    comes_to_hold(&place);
}

#[test]
fn a_pod_whose_pause_process_dies_comes_back_with_its_address() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "1"]);
    run_pods(&place, &[("web", "node-1"), ("other", "node-1")]);
    let before = address(&place, "web");
    let uid = pod(&place, "web")["metadata"]["uid"]
        .as_str()
        .expect("a uid")
        .to_owned();
    node_sh(
        &place,
        "underlay",
        &format!("kill -9 $(pgrep -f podnet-paus[e].*{uid})"),
    );
    eventually("it was restarted", || {
        let status = &pod(&place, "web")["status"];
        let restarts = status["containerStatuses"][0]["restartCount"].as_i64()?;
        (restarts == 1 && status["podIP"] == before.as_str()).then_some(())
    });
    comes_to_hold(&place);
}

/// The server takes a node that says nothing for lost; one that speaks again is
/// a node again.
#[test]
fn a_node_that_was_silent_comes_back() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "1"]);
    let ready = || {
        let shown = place.podnet(&["get", "node", "node-1", "-o", "json"]);
        let node: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        let conditions = node["status"]["conditions"].as_array().cloned();
        let found = conditions.unwrap_or_default().into_iter();
        let mut ready = found.filter(|condition| condition["type"] == "Ready");
        ready.next().map(|ready| ready["status"].clone())
    };
    let agent = pid_of(&place, "default", "node-1").expect("it runs");
    let signal = |name: &str| {
        node_sh(&place, "underlay", &format!("kill -{name} {agent}"));
    };
    signal("STOP");
    eventually("it is Unknown", || (ready()? == "Unknown").then_some(()));
    signal("CONT");
    eventually("it is Ready again", || (ready()? == "True").then_some(()));
    assert_eq!(
        pid_of(&place, "default", "node-1"),
        Some(agent),
        "without a restart"
    );
}

#[test]
fn a_pod_with_the_longest_of_names_runs() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "1"]);
    let name = format!("{}.{}", "x".repeat(62), "y".repeat(190));
    // A container's name has 63 characters at most, so this takes a manifest's way.
    let spec = format!(
        r#"{{"metadata":{{"name":"{name}"}},"spec":{{"containers":[{{"name":"c","image":"pause"}}]}}}}"#
    );
    place.create_pod(&spec);
    address(&place, &name);
    assert_eq!(
        place.ok(&["shell", &name, "--", "hostname"]).trim(),
        "x".repeat(62)
    );
    comes_to_hold(&place);
}

#[test]
fn an_unknown_image_is_said_with_those_that_are_known() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "1"]);
    place.ok(&["run", "web", "--image=nginx"]);
    eventually("the pod says what is wrong", || {
        let waiting = &pod(&place, "web")["status"]["containerStatuses"][0]["state"]["waiting"];
        let message = waiting["message"].as_str()?;
        assert_eq!(waiting["reason"], "ErrImagePull");
        assert!(
            message.contains("\"nginx\"") && message.contains("registry.k8s.io/pause"),
            "{message}"
        );
        Some(())
    });
    assert!(place.ok(&["get", "pods"]).contains("ErrImagePull"));
}

/// Whatever is killed in the middle of whatever, it ends as if nothing had been.
#[test]
fn kills_at_any_moment_end_in_a_fabric_that_holds() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "3"]);
    run_pods(&place, &[("first", "node-1")]);
    let victims = ["server", "node-1", "node-2"];
    for (round, victim) in victims.iter().cycle().take(9).enumerate() {
        std::thread::scope(|scope| {
            let place = &place;
            scope.spawn(move || {
                for n in 0..4 {
                    // Refused while the server is away; then it was never acknowledged.
                    let name = format!("r{round}-{n}");
                    place.podnet(&["run", &name, "--image=pause"]);
                }
            });
            scope.spawn(move || {
                // At a moment that differs from round to round.
                let Some(pid) = pid_of(place, "default", victim) else {
                    return;
                };
                let script = format!("sleep 0.0{round}; kill -9 {pid} || true");
                place.ok(&["shell", "underlay", "--", "sh", "-c", &script]);
            });
        });
    }
    eventually("every acknowledged pod runs", || {
        let shown = place.podnet(&["get", "pods", "-o", "json"]);
        let list: serde_json::Value = serde_json::from_slice(&shown.stdout).ok()?;
        let pods = list["items"].as_array()?;
        let running = pods
            .iter()
            .filter(|pod| pod["status"]["phase"] == "Running");
        (pods.len() > 1 && running.count() == pods.len()).then_some(())
    });
    comes_to_hold(&place);
    place.ok(&["delete", "pods", "--all"]);
    comes_to_hold(&place);
    let ports = node_sh(&place, "node-1", "ip -o link | grep -c ': pod' || true");
    assert_eq!(ports.trim(), "0");
}

#[test]
fn a_killed_lab_comes_back_with_its_pods() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    run_pods(&place, &[("one", "node-1"), ("two", "node-2")]);
    kill(
        Pid::from_raw(init_of(&place.lab("default"))),
        Signal::SIGKILL,
    )
    .expect("killed");
    place.ok(&["up"]);
    eventually("both pods are in the matrix", || {
        let matrix = text(&place.podnet(&["check"]).stdout);
        (matrix.contains("default/one") && matrix.contains("default/two")).then_some(())
    });
    comes_to_hold(&place);
    let matrix = place.ok(&["check"]);
    assert!(
        matrix.contains("default/one") && matrix.contains("default/two"),
        "{matrix}"
    );
}

#[test]
fn check_tells_what_is_broken_and_exits_1() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    run_pods(&place, &[("one", "node-1"), ("two", "node-2")]);
    // What no agent repairs: the pod drops what it gets.
    let uid = pod(&place, "two")["metadata"]["uid"]
        .as_str()
        .expect("a uid")
        .to_owned();
    assert!(fs::exists(place.lab("default").join("nodes/node-2/pods").join(uid)).expect("a look"));
    place.ok(&[
        "shell",
        "two",
        "--",
        "ip",
        "route",
        "add",
        "blackhole",
        "10.244.0.0/24",
    ]);
    let found = place.podnet(&["check", "-o", "json"]);
    assert_eq!(found.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&found.stdout).expect("JSON");
    let failed = |from: &str, to: &str| {
        let probes = report["probes"].as_array().expect("probes");
        let of_pair = probes.iter().filter(|p| p["from"] == from && p["to"] == to);
        of_pair.filter(|probe| probe.get("error").is_some()).count()
    };
    assert_eq!(failed("default/one", "default/two"), 2, "ICMP and TCP");
    assert_eq!(failed("default/two", "default/one"), 2);
    assert_eq!(failed("node-2", "default/two"), 0);
    let table = place.podnet(&["check"]);
    assert!(text(&table.stdout).contains("✗"), "{}", text(&table.stdout));
    place.ok(&["down"]);
    assert_eq!(
        place.podnet(&["check"]).status.code(),
        Some(2),
        "could not tell"
    );
}
