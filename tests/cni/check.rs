//! CHECK sees what was changed behind its back.

use serde_json::{Value, json};

use crate::place::{Call, Pod, add, del, links, network, wait_for, with};
use crate::support::{isolated, sh};

fn check(pod: &Pod, config: &Value, result: &Value) -> crate::place::Outcome {
    let config = with(config.clone(), "prevResult", result.clone());
    Call::new("CHECK", pod).run(&config)
}

#[derive(Clone, Copy, PartialEq)]
enum Where {
    Pod,
    Node,
}

/// Where it is done, what is done, and what CHECK must say of it.
const CHANGES: [(Where, &str, &str); 20] = [
    // Addresses.
    (
        Where::Pod,
        "ip address delete 10.1.0.2/24 dev eth0",
        "eth0 has no address 10.1.0.2/24",
    ),
    (
        Where::Pod,
        "ip address delete fd00:1::2/64 dev eth0",
        "eth0 has no address fd00:1::2/64",
    ),
    (
        Where::Pod,
        "ip address delete 10.1.0.2/24 dev eth0; ip address add 10.1.0.2/16 dev eth0",
        "eth0 has no address 10.1.0.2/24",
    ),
    (
        Where::Node,
        "ip address delete 10.1.0.1/24 dev cbr0",
        "cbr0 has no address 10.1.0.1/24",
    ),
    // Routes.
    (
        Where::Pod,
        "ip route delete default",
        "no route to 0.0.0.0/0",
    ),
    (Where::Pod, "ip -6 route delete default", "no route to ::/0"),
    (
        Where::Pod,
        "ip route replace default via 10.1.0.9",
        "no route to 0.0.0.0/0",
    ),
    // The bridge and its port.
    (
        Where::Node,
        "ip link set pod2 nomaster",
        "pod2 is not on bridge cbr0",
    ),
    (
        Where::Node,
        "ip link add other type bridge; ip link set pod2 master other",
        "pod2 is not on bridge cbr0",
    ),
    (
        Where::Node,
        "ip link set pod2 type bridge_slave hairpin off",
        "pod2 has no hairpin",
    ),
    (Where::Node, "ip link set pod2 down", "pod2 is down"),
    (Where::Node, "ip link set cbr0 down", "bridge cbr0 is down"),
    (Where::Node, "ip link delete cbr0", "cbr0 is gone"),
    (Where::Pod, "ip link set eth0 down", "eth0 is down"),
    // Names.
    (
        Where::Pod,
        "ip link set eth0 down; ip link set eth0 name x",
        "eth0 is not in the pod",
    ),
    (
        Where::Pod,
        "ip link set eth0 down; ip link set eth0 name x; ip link add eth0 type veth peer y",
        "eth0 is not the other end of pod2",
    ),
    (
        Where::Node,
        "ip link set pod2 down; ip link set pod2 name pod9",
        "address 10.1.0.2 is not that of pod9",
    ),
    (
        Where::Node,
        "ip link property del dev pod2 altname web.eth0",
        "no link has its name",
    ),
    (
        Where::Node,
        "ip link set pod2 alias \"\"",
        "pod2 was never committed",
    ),
    // The MAC.
    (
        Where::Pod,
        "ip link set eth0 address 02:00:00:00:00:07",
        "eth0 has MAC 02:00:00:00:00:07 rather than ",
    ),
];

#[test]
fn every_change_is_noticed_and_named() {
    isolated(|| {
        let config = network(&["10.1.0.0/24", "fd00:1::/64"]);
        for (place, change, says) in CHANGES {
            let pod = Pod::new("web");
            // Each in a fresh place: the first address again.
            sh("ip link delete cbr0 2>/dev/null || true; ip link delete other 2>/dev/null || true");
            let result = add(&pod, &config).done();
            let before = check(&pod, &config, &result);
            assert!(before.ok, "before {change}: {before:?}");
            match place {
                Where::Pod => pod.sh(change),
                Where::Node => sh(change),
            };
            let text = check(&pod, &config, &result).refused(105);
            assert!(
                text.contains("web.eth0") && text.contains(says),
                "{change}: {text}"
            );
            assert!(del(&pod, &config).ok, "{change}");
            drop(pod);
            let switches = |link: &String| link == "cbr0" || link == "other";
            wait_for("a clean node", || links().iter().all(switches));
        }
    });
}

#[test]
fn a_masquerade_is_part_of_what_is_checked() {
    isolated(|| {
        let ranges = ["10.1.0.0/24", "fd00:1::/64"];
        let masked = with(network(&ranges), "ipMasq", json!(true));
        let pod = Pod::new("web");
        // As it is when somebody flushed the tables.
        let result = add(&pod, &network(&ranges)).done();
        let text = check(&pod, &masked, &result).refused(105);
        for range in ranges {
            let says = format!("nothing masquerades what leaves {range}");
            assert!(text.contains(&says), "{text}");
        }
        let other = Pod::new("other");
        let others = add(&other, &masked).done();
        for (pod, result) in [(&pod, &result), (&other, &others)] {
            let checked = check(pod, &masked, result);
            assert!(checked.ok, "{checked:?}");
        }
    });
}

#[test]
fn what_another_plugin_changed_is_its_own_affair() {
    isolated(|| {
        let config = network(&["10.1.0.0/24"]);
        let pod = Pod::new("web");
        let mut result = add(&pod, &config).done();
        // As `tuning` does it: the change, and what it says of it.
        pod.sh("ip link set eth0 address 02:00:00:00:00:07; ip route add 10.7.0.0/16 via 10.1.0.9");
        result["interfaces"][2]["mac"] = json!("02:00:00:00:00:07");
        let routes = result["routes"].as_array_mut().expect("routes");
        routes.push(json!({"dst": "10.8.0.0/16"}));
        let checked = check(&pod, &config, &result);
        assert!(checked.ok, "{checked:?}");
        assert!(del(&pod, &config).ok);
        assert!(
            check(&pod, &config, &result)
                .refused(105)
                .contains("no link")
        );
    });
}

#[test]
fn check_needs_the_result_of_add() {
    isolated(|| {
        let config = network(&["10.1.0.0/24"]);
        let pod = Pod::new("web");
        let text = Call::new("CHECK", &pod).run(&config).refused(7);
        assert!(text.contains("prevResult"), "{text}");
        let strange = json!({"interfaces": [{"name": "eth0"}], "ips": []});
        let text = check(&pod, &config, &strange).refused(7);
        assert!(text.contains("no interface eth0"), "{text}");
    });
}
