//! Debian's plugins (package containernetworking-plugins), chained after ours.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use podnet::kernel::linux::in_netns;
use serde_json::{Value, json};

use crate::lab::text;
use crate::place::{Call, Pod, addresses, network, wait_for, with};
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
        let first = with(
            network(&["10.1.0.0/24", "fd00:1::/64"]),
            "cniVersion",
            json!("1.0.0"),
        );
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

#[test]
fn portmap_leads_to_our_pod() {
    isolated(|| {
        let mapping = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
        let chain = Chain::new(&[json!({
            "type": "portmap", "snat": true, "capabilities": {"portMappings": true},
            "runtimeConfig": {"portMappings": mapping},
        })]);
        sh("mount -t tmpfs none /run");
        // A machine beyond the node that asks for the node's port.
        let client = Pod::new("client");
        sh(&format!(
            "ip link add up0 up type veth peer eth0 netns {}; ip address add 192.0.2.1/24 dev up0",
            client.path()
        ));
        client.sh("ip link set eth0 up; ip address add 192.0.2.2/24 dev eth0");
        let result = chain.add();
        serve(&chain.pod, "it is our pod");
        let fetch = "exec 3<>/dev/tcp/192.0.2.1/8080; cat <&3";
        wait_for("answer by the node's port", || {
            let output = Command::new("nsenter")
                .arg(format!("--net={}", client.path()))
                .args(["bash", "-c", fetch])
                .output()
                .expect("nsenter runs");
            text(&output.stdout).contains("it is our pod")
        });
        // Ours alone: portmap 1.1.1 looks for its IPv4 rules among the IPv6 ones too.
        chain.call("CHECK", &chain.plugins[0], Some(&result));
        chain.each("DEL", &result);
        assert!(!sh("iptables-save -t nat").contains("8080"));
    });
}

/// Says `words` to whoever connects to port 80 in the pod, as long as the test runs.
fn serve(pod: &Pod, words: &'static str) {
    let listener = in_netns(pod.netns(), || {
        TcpListener::bind("0.0.0.0:80").expect("port 80 is free in a pod")
    });
    let listener = listener.expect("entered");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let sent = connection.and_then(|mut c| c.write_all(words.as_bytes()));
            sent.expect("answered");
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
        assert!(sh("tc qdisc show dev pod2").contains("tbf"));
        chain.each("CHECK", &result);
        assert!(chain.pod.reaches("10.1.0.1"));
        chain.each("DEL", &result);
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
        chain.each("CHECK", &result);
        chain.each("DEL", &result);
    });
}

#[test]
fn firewall_lets_our_pod_through() {
    isolated(|| {
        sh("mount -t tmpfs none /run; iptables -P FORWARD DROP");
        let chain = Chain::new(&[json!({"type": "firewall", "backend": "iptables"})]);
        let result = chain.add();
        assert!(sh("iptables-save -t filter").contains("10.1.0.2/32"));
        chain.each("CHECK", &result);
        chain.each("DEL", &result);
        assert!(!sh("iptables-save -t filter").contains("10.1.0.2/32"));
    });
}
