//! Debian's plugins (package containernetworking-plugins), chained after ours.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::place::{
    Call, Pod, add, addresses, links, network, serve, uplink, wait_for, wait_for_links, with,
};
use crate::support::{isolated, sh};

const PLUGINS: &str = "/usr/lib/cni";

/// As libcni goes through a list: each plugin gets the result of the one before,
/// and DEL goes through them backwards.
struct Chain {
    pod: Pod,
    plugins: Vec<Value>,
}

impl Chain {
    fn new(plugins: &[Value]) -> Chain {
        Chain::of(&["10.1.0.0/24", "fd00:1::/64"], plugins)
    }

    fn of(subnets: &[&str], plugins: &[Value]) -> Chain {
        let first = with(network(subnets), "cniVersion", json!("1.0.0"));
        let others = plugins.iter().map(|plugin| {
            let mut plugin = plugin.clone();
            (plugin["cniVersion"], plugin["name"]) = (json!("1.0.0"), json!("podnet"));
            plugin
        });
        Chain {
            pod: Pod::new("web"),
            plugins: std::iter::once(first).chain(others).collect(),
        }
    }

    fn call(&self, verb: &'static str, plugin: &Value, previous: Option<&Value>) -> Value {
        let mut call = Call::new(verb, &self.pod);
        let kind = plugin["type"].as_str().expect("a type");
        if kind != "podnet-cni" {
            call.program = PathBuf::from(PLUGINS).join(kind);
            assert!(
                call.program.exists(),
                "no {}: scripts/setup installs it",
                call.program.display()
            );
        }
        let mut config = plugin.clone();
        if let Some(previous) = previous {
            config["prevResult"] = previous.clone();
        }
        let outcome = call.run(&config);
        assert!(outcome.ok, "{verb} of {kind}: {outcome:?}");
        outcome.json
    }

    fn add(&self) -> Value {
        let step = |previous: Option<Value>, plugin: &Value| {
            Some(self.call("ADD", plugin, previous.as_ref()))
        };
        let result = self.plugins.iter().fold(None, step);
        result.expect("a chain has a plugin")
    }

    fn each(&self, verb: &'static str, result: &Value) {
        let call = |plugin: &Value| drop(self.call(verb, plugin, Some(result)));
        match verb {
            "DEL" => self.plugins.iter().rev().for_each(call),
            _ => self.plugins.iter().for_each(call),
        }
    }
}

fn portmap() -> Value {
    let mapping = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    json!({
        "type": "portmap", "snat": true, "capabilities": {"portMappings": true},
        "runtimeConfig": {"portMappings": mapping},
    })
}

#[test]
fn portmap_leads_to_our_pod() {
    isolated(|| {
        let chain = Chain::new(&[portmap()]);
        sh("mount -t tmpfs none /run");
        let client = Pod::new("client");
        uplink(&client);
        let result = chain.add();
        serve(chain.pod.netns(), "it is our pod");
        wait_for("answer by the node's port", || {
            client.hears("192.0.2.1", 8080) == "it is our pod"
        });
        // Of portmap's, see below.
        chain.call("CHECK", &chain.plugins[0], Some(&result));
        chain.each("DEL", &result);
        assert!(!sh("iptables-save -t nat").contains("8080"));
        assert_eq!(client.hears("192.0.2.1", 8080), "");
    });
}

#[test]
fn portmap_is_checked_after_us() {
    isolated(|| {
        // Version 1.1.1 looks for its IPv4 rules among the IPv6 ones too, where it can.
        sh(
            "mount -t tmpfs none /run; program=$(readlink -f /etc/alternatives/iptables)
            mount -t tmpfs none /etc/alternatives; ln -s $program /etc/alternatives/iptables",
        );
        let chain = Chain::of(&["10.1.0.0/24"], &[portmap()]);
        let result = chain.add();
        chain.each("CHECK", &result);
        chain.each("DEL", &result);
    });
}

/// A pod that asks for the node's port is led back to itself, by the bridge port that it came by.
#[test]
fn a_pod_reaches_itself_by_the_nodes_port_where_there_is_hairpin() {
    isolated(|| {
        sh("mount -t tmpfs none /run");
        let client = Pod::new("client");
        uplink(&client);
        for hairpin in [true, false] {
            let mut chain = Chain::of(&["10.1.0.0/24"], &[portmap()]);
            chain.plugins[0]["hairpinMode"] = json!(hairpin);
            let result = chain.add();
            serve(chain.pod.netns(), "myself");
            wait_for("answer to others", || {
                client.hears("192.0.2.1", 8080) == "myself"
            });
            let heard = chain.pod.hears("192.0.2.1", 8080);
            assert_eq!(heard == "myself", hairpin, "{heard:?}");
            chain.each("DEL", &result);
        }
    });
}

#[test]
fn bandwidth_shapes_our_port() {
    isolated(|| {
        let limits = json!({
            "ingressRate": 1_000_000, "ingressBurst": 1_000_000,
            "egressRate": 2_000_000, "egressBurst": 1_000_000,
        });
        let chain = Chain::new(&[json!({
            "type": "bandwidth", "capabilities": {"bandwidth": true},
            "runtimeConfig": {"bandwidth": limits},
        })]);
        let result = chain.add();
        // Towards the pod by our link, away from it by one of the plugin's own.
        let shaped = |dev: &str, rate: &str| {
            let is = sh(&format!("tc qdisc show dev {dev}"));
            assert!(is.contains("tbf") && is.contains(rate), "{is}");
        };
        shaped("pod2", "rate 1Mbit");
        let mut others = links();
        others.retain(|link| link != "cbr0" && link != "pod2");
        let [other] = &others[..] else {
            panic!("one more link: {others:?}")
        };
        shaped(other, "rate 2Mbit");
        chain.each("CHECK", &result);
        assert!(chain.pod.reaches("10.1.0.1"));
        chain.each("DEL", &result);
        wait_for_links(&["cbr0"]);
    });
}

#[test]
fn tuning_changes_our_interface() {
    isolated(|| {
        let chain = Chain::new(&[json!({
            "type": "tuning", "mac": "02:00:00:00:00:07", "mtu": 1400,
            "sysctl": {"net.ipv4.conf.eth0.arp_announce": "1"},
        })]);
        sh("mount -t tmpfs none /run");
        let result = chain.add();
        assert_eq!(result["interfaces"][2]["mac"], "02:00:00:00:00:07");
        assert_eq!(addresses(&result), ["10.1.0.2", "fd00:1::2"]);
        let inside = &chain.pod.ip("link show eth0")[0];
        assert_eq!(inside["address"], "02:00:00:00:00:07");
        assert_eq!(inside["mtu"], 1400);
        let set = chain
            .pod
            .sh("cat /proc/sys/net/ipv4/conf/eth0/arp_announce");
        assert_eq!(set, "1\n");
        chain.each("CHECK", &result);
        chain.each("DEL", &result);
        wait_for_links(&["cbr0"]);
    });
}

#[test]
fn firewall_lets_our_pod_through() {
    isolated(|| {
        sh("mount -t tmpfs none /run; iptables -P FORWARD DROP");
        let far = Pod::new("far");
        uplink(&far);
        far.sh("ip route add default via 192.0.2.1");
        let chain = Chain::new(&[json!({"type": "firewall", "backend": "iptables"})]);
        let without = Pod::new("without");
        add(&without, &chain.plugins[0]).done();
        let result = chain.add();
        let address = addresses(&result).remove(0);
        let rule = format!("{address}/32");
        assert!(sh("iptables-save -t filter").contains(&rule));
        assert!(chain.pod.reaches("192.0.2.2"));
        assert!(without.is_cut_off_from("192.0.2.2"), "nobody asked for it");
        chain.each("CHECK", &result);
        chain.each("DEL", &result);
        assert!(!sh("iptables-save -t filter").contains(&rule));
    });
}
