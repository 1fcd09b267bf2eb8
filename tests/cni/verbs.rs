//! Each verb, once as it should be and once for every way it should not.

use std::process::Command;

use serde_json::{Value, json};

use crate::place::{
    Call, Pod, add, addresses, del, everything, ip, links, network, uplink, wait_for,
    wait_for_links, with,
};
use crate::support::{isolated, sh};

const BOTH: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/64"];

#[test]
fn add_gives_pods_a_network() {
    isolated(|| {
        let config = network(&BOTH);
        let (one, two) = (Pod::new("one"), Pod::new("two"));
        let first = add(&one, &config).done();
        let second = add(&two, &config).done();
        assert_eq!(addresses(&first), ["10.244.0.2", "fd00:10:244::2"]);
        for address in addresses(&second) {
            assert!(one.reaches(&address), "{address}");
        }
        for gateway in ["10.244.0.1", "fd00:10:244::1"] {
            assert!(one.reaches(gateway), "{gateway}");
        }
        // Hairpin: a pod's packet to the node comes back to its own port.
        assert_eq!(links(), ["cbr0", "pod2", "pod3"]);
    });
}

#[test]
fn the_result_says_what_is_there() {
    isolated(|| {
        let pod = Pod::new("web");
        let config = with(network(&BOTH), "mtu", json!(1400));
        let result = add(&pod, &config).done();
        let inside = &pod.ip("address show eth0")[0];
        let near = &ip("link show pod2")[0];
        let bridge = &ip("link show cbr0")[0];
        let interfaces = json!([
            {"name": "cbr0", "mac": bridge["address"], "mtu": 1400},
            {"name": "pod2", "mac": near["address"], "mtu": 1400},
            {"name": "eth0", "mac": inside["address"], "mtu": 1400, "sandbox": pod.path()},
        ]);
        assert_eq!(result["interfaces"], interfaces);
        assert_eq!(inside["mtu"], 1400);
        assert_eq!(bridge["mtu"], 1400);
        let routes = json!([
            {"dst": "0.0.0.0/0", "gw": "10.244.0.1"},
            {"dst": "::/0", "gw": "fd00:10:244::1"},
        ]);
        assert_eq!(result["routes"], routes);
        let gateways: Vec<&Value> = result["ips"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|a| &a["gateway"])
            .collect();
        assert_eq!(gateways, ["10.244.0.1", "fd00:10:244::1"]);
        assert_eq!(near["ifalias"], "podnet/web");
    });
}

#[test]
fn every_version_is_answered_in_its_own_words() {
    isolated(|| {
        for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let pod = Pod::new(&format!("v{version}"));
            let config = with(network(&BOTH), "cniVersion", json!(version));
            let result = add(&pod, &config).done();
            assert_eq!(result["cniVersion"], version);
            let families: Vec<Option<&str>> = result["ips"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|a| a.get("version").and_then(Value::as_str))
                .collect();
            let wanted = match version < "1.0.0" {
                true => [Some("4"), Some("6")],
                false => [None, None],
            };
            assert_eq!(families, wanted, "{version}");
            let check = Call::new("CHECK", &pod).run(&with(config.clone(), "prevResult", result));
            match version < "0.4.0" {
                true => assert!(check.refused(1).contains("CHECK is not in CNI")),
                false => assert!(check.ok, "{version}: {check:?}"),
            }
            assert!(del(&pod, &config).ok, "{version}");
        }
        let config = with(network(&BOTH), "cniVersion", json!("0.2.0"));
        let text = add(&Pod::new("old"), &config).refused(1);
        assert!(
            text.contains("\"0.2.0\"") && text.contains("0.3.0"),
            "{text}"
        );
    });
}

#[test]
fn version_says_what_is_spoken() {
    let answer = Call::bare("VERSION")
        .run(&json!({"cniVersion": "0.4.0"}))
        .done();
    assert_eq!(answer["cniVersion"], "0.4.0");
    let versions = json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    assert_eq!(answer["supportedVersions"], versions);
}

#[test]
fn a_pods_name_becomes_its_links_alias() {
    isolated(|| {
        let mut call = Call::new("ADD", &Pod::new("c0ffee"));
        let pod = Pod::new("c0ffee");
        call.netns = Some(pod.path());
        call.arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;A=b".to_owned();
        call.run(&network(&BOTH)).done();
        let link = &ip("link show pod2")[0];
        assert_eq!(link["ifalias"], "shop/web");
        assert_eq!(link["altnames"], json!(["c0ffee.eth0"]));
    });
}

#[test]
fn an_add_of_what_exists_changes_nothing() {
    isolated(|| {
        let config = network(&BOTH);
        let (pod, other) = (Pod::new("web"), Pod::new("other"));
        add(&pod, &config).done();
        let before = (
            everything(None),
            everything(Some(&pod)),
            everything(Some(&other)),
        );
        let text = add(&pod, &config).refused(101);
        assert!(text.contains("web.eth0") && text.contains("DEL"), "{text}");
        // The same attachment in another namespace, and another in the same.
        let mut moved = Call::new("ADD", &pod);
        moved.netns = Some(other.path());
        assert!(moved.run(&config).refused(101).contains("web.eth0"));
        let mut renamed = Call::new("ADD", &other);
        renamed.netns = Some(pod.path());
        assert!(renamed.run(&config).refused(101).contains("other.eth0"));
        let after = (
            everything(None),
            everything(Some(&pod)),
            everything(Some(&other)),
        );
        assert_eq!(after, before);
        // A strange eth0 is as good a reason.
        other.sh("ip link add eth0 type bridge");
        let before = (everything(None), everything(Some(&other)));
        add(&other, &config).refused(101);
        assert_eq!((everything(None), everything(Some(&other))), before);
    });
}

#[test]
fn a_failing_add_leaves_nothing() {
    isolated(|| {
        let pod = Pod::new("web");
        let config = network(&["10.244.0.0/16"]);
        let none: [&str; 0] = [];
        let mut lost = Call::new("ADD", &pod);
        lost.netns = Some("/run/netns/no-such".to_owned());
        let text = lost.run(&config).refused(3);
        assert!(
            text.contains("/run/netns/no-such") && text.contains("web"),
            "{text}"
        );
        assert_eq!(links(), none, "not even a bridge");
        // The kernel refuses this one when the link is there already.
        let unreachable = json!([{"dst": "10.9.0.0/16", "gw": "192.0.2.1"}]);
        let text = add(&pod, &with(config.clone(), "routes", unreachable)).refused(104);
        assert!(
            text.contains("10.9.0.0/16") && text.contains("192.0.2.1"),
            "{text}"
        );
        assert_eq!(links(), ["cbr0"]);
        assert_eq!(sh("ip neighbour show nud permanent"), "");
        assert_eq!(pod.ip("link").as_array().map(Vec::len), Some(1), "lo alone");
        sh("ip link delete cbr0; ip link add cbr0 type veth peer other");
        let text = add(&pod, &config).refused(104);
        assert!(text.contains("cbr0 as a bridge"), "{text}");
        assert_eq!(links(), ["cbr0", "other"]);
    });
}

#[test]
fn what_the_environment_lacks_is_named() {
    let config = network(&BOTH);
    let text = |call: Call, code| call.run(&config).refused(code);
    assert!(text(Call::bare("ADD"), 4).contains("CNI_CONTAINERID"));
    assert!(text(Call::bare("FETCH"), 4).contains("CNI_COMMAND"));
    let mut call = Call::bare("ADD");
    call.container = Some("web".to_owned());
    assert!(text(call, 4).contains("CNI_IFNAME"));
    let mut call = Call::bare("ADD");
    (call.container, call.interface) = (Some("web".to_owned()), Some("eth0".to_owned()));
    assert!(text(call, 4).contains("CNI_NETNS"));
    let refused = Call::bare("ADD").run(&Value::String("no object".to_owned()));
    assert!(refused.refused(1).contains("cniVersion"));
}

#[test]
fn del_takes_away_whatever_is_there() {
    isolated(|| {
        let config = network(&BOTH);
        // After a reboot: no bridge, no namespace, nothing.
        let mut gone = Call::new("DEL", &Pod::new("gone"));
        // The last is what a namespace was mounted on, the one before what took its number.
        for path in ["/run/netns/no-such", "/proc/self/ns/net", "/etc/hostname"] {
            gone.netns = Some(path.to_owned());
            let outcome = gone.run(&config);
            assert!(outcome.ok, "{path}: {outcome:?}");
        }
        let pod = Pod::new("web");
        let result = add(&pod, &config).done();
        assert!(del(&pod, &with(config.clone(), "prevResult", result)).ok);
        wait_for_links(&["cbr0"]);
        assert_eq!(sh("ip neighbour show nud permanent"), "");
        assert!(del(&pod, &config).ok, "twice");
        // Without a namespace, and without a bridge.
        for missing in ["netns", "bridge"] {
            add(&pod, &config).done();
            let mut call = Call::new("DEL", &pod);
            match missing {
                "netns" => call.netns = None,
                _ => drop(sh("ip link delete cbr0")),
            }
            assert!(call.run(&config).ok, "{missing}");
            let left: &[&str] = if missing == "netns" { &["cbr0"] } else { &[] };
            wait_for_links(left);
        }
        // The namespace took the link along before DEL came.
        add(&pod, &config).done();
        let id = pod.id.clone();
        drop(pod);
        wait_for_links(&["cbr0"]);
        let mut late = Call::bare("DEL");
        (late.container, late.interface) = (Some(id), Some("eth0".to_owned()));
        assert!(late.run(&config).ok);
    });
}

#[test]
fn a_container_can_leave_and_come_back_at_once() {
    isolated(|| {
        let config = network(&BOTH);
        let pod = Pod::new("web");
        // The dead link is in the way, or is deleted just then.
        let delete = "for n in $(seq 300); do ip link delete group 28773 2>/dev/null; done";
        let mut deleting = Command::new("sh").args(["-c", delete]).spawn().expect("sh");
        while deleting.try_wait().expect("a child").is_none() {
            let result = add(&pod, &config).done();
            wait_for("way to the node", || pod.reaches("10.244.0.1"));
            assert!(del(&pod, &with(config.clone(), "prevResult", result)).ok);
        }
    });
}

#[test]
fn a_pod_can_have_two_networks() {
    isolated(|| {
        let one = network(&["10.1.0.0/24"]);
        let mut two = network(&["fd00:2::/64"]);
        (two["name"], two["bridge"]) = (json!("second"), json!("cbr1"));
        let pod = Pod::new("web");
        add(&pod, &one).done();
        let mut call = Call::new("ADD", &pod);
        call.interface = Some("net1".to_owned());
        let result = call.run(&two).done();
        assert!(pod.reaches("10.1.0.1"));
        assert!(
            pod.reaches("fd00:2::1"),
            "IPv6 is off on the IPv4 interface alone"
        );
        call.verb = "CHECK";
        let checked = call.run(&with(two.clone(), "prevResult", result));
        assert!(checked.ok, "{checked:?}");
        call.verb = "DEL";
        assert!(call.run(&two).ok);
        assert!(pod.reaches("10.1.0.1"));
        assert!(!links().contains(&"pod3".to_owned()));
    });
}

#[test]
fn a_route_leads_where_it_says() {
    isolated(|| {
        let config = network(&["10.1.0.0/24", "fd00:1::/64"]);
        let router = Pod::new("router");
        let by = addresses(&add(&router, &config).done());
        router.sh("ip address add 10.9.0.1/32 dev lo; ip address add fd00:9::1/128 dev lo");
        let routes = json!([
            {"dst": "10.9.0.0/16", "gw": by[0]},
            {"dst": "fd00:9::/64", "gw": by[1]},
        ]);
        let pod = Pod::new("web");
        let result = add(&pod, &with(config, "routes", routes.clone())).done();
        assert_eq!(result["routes"], routes);
        assert!(pod.reaches("10.9.0.1") && pod.reaches("fd00:9::1"));
        assert_eq!(
            pod.sh("ip route show default"),
            "",
            "no other was asked for"
        );
    });
}

#[test]
fn a_bridge_has_one_network() {
    isolated(|| {
        let (pod, other) = (Pod::new("web"), Pod::new("other"));
        let config = network(&["10.1.0.0/24"]);
        let another = with(network(&["10.2.0.0/24"]), "name", json!("another"));
        add(&pod, &config).done();
        let text = add(&other, &another).refused(7);
        assert!(
            text.contains("cbr0") && text.contains("network podnet"),
            "{text}"
        );
        assert!(del(&pod, &config).ok);
        add(&other, &another).done();
    });
}

#[test]
fn a_bridge_without_a_gateway_only_switches() {
    isolated(|| {
        let mut config = network(&["10.1.0.0/24"]);
        (config["isGateway"], config["routes"]) = (json!(false), json!([]));
        let (one, two) = (Pod::new("one"), Pod::new("two"));
        add(&one, &config).done();
        let second = add(&two, &config).done();
        assert!(one.reaches(&addresses(&second)[0]));
        assert!(!sh("ip address show cbr0").contains("10.1.0.1"));
        assert_eq!(one.sh("ip route show default"), "");
    });
}

#[test]
fn what_leaves_the_range_is_masqueraded_if_asked() {
    isolated(|| {
        let beyond = Pod::new("beyond");
        uplink(&beyond);
        let plain = network(&BOTH);
        let masked = with(
            network(&["10.9.0.0/24", "fd00:9::/64"]),
            "ipMasq",
            json!(true),
        );
        let masked = with(
            with(masked, "bridge", json!("cbr1")),
            "name",
            json!("masked"),
        );
        let (without, one, two) = (Pod::new("without"), Pod::new("one"), Pod::new("two"));
        add(&without, &plain).done();
        let first = add(&one, &masked).done();
        add(&two, &masked).done();
        for far in ["192.0.2.2", "fd00:99::2"] {
            assert!(one.reaches(far), "{far}");
            assert!(two.reaches(far), "{far}");
            assert!(without.is_cut_off_from(far), "it has no way back to {far}");
        }
        // Within the range, pods see each other's own addresses.
        for address in addresses(&first) {
            assert!(two.reaches(&address), "{address}");
        }
    });
}
