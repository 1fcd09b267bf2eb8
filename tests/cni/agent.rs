//! A lab's nodes as a container runtime finds them.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::lab::{Place, text};
use crate::place::{Call, DEAD_GROUP, Pod, add, del, group, wait_for};

/// Says that the test is in a node, whose configuration it holds.
const CONFIGURATION: &str = "PODNET_TEST_CNI";

/// What a runtime makes of a list's only plugin (CNI 1.1 §3).
fn plugin_configuration(file: &Path) -> Value {
    let text = fs::read_to_string(file).expect("there");
    let list: Value = serde_json::from_str(&text).expect("JSON");
    let mut config = list["plugins"][0].clone();
    config["name"] = list["name"].clone();
    config["cniVersion"] = json!("1.1.0");
    config
}

fn conflist(place: &Place, node: &str) -> PathBuf {
    let file = format!("nodes/{node}/cni/10-podnet.conflist");
    place.lab("default").join(file)
}

/// As an agent of this network namespace holds its name.
pub fn hold(name: &str) -> UnixDatagram {
    bind(name).expect("the name is free here")
}

pub fn is_held(name: &str) -> bool {
    bind(name).is_err()
}

fn bind(name: &str) -> io::Result<UnixDatagram> {
    let address = SocketAddr::from_abstract_name(name).expect("an address");
    UnixDatagram::bind_addr(&address)
}

/// Run `body` in a process of its own, as root in the only node of a lab, with the
/// configuration that its agent wrote.
pub fn in_a_node(flags: &[&str], body: impl FnOnce(&Value)) {
    if let Ok(text) = std::env::var(CONFIGURATION) {
        return body(&serde_json::from_str(&text).expect("a configuration"));
    }
    let place = Place::ordinary();
    place.ok(&[&["up", "--nodes", "1"], flags].concat());
    let file = conflist(&place, "node-1");
    wait_for("CNI configuration", || file.exists());
    let config = format!("{CONFIGURATION}={}", plugin_configuration(&file));
    let program = std::env::current_exe().expect("the test program");
    let thread = std::thread::current();
    let test = thread.name().expect("libtest names its threads");
    let output = place.podnet(&[
        "shell",
        "node-1",
        "--",
        "env",
        &config,
        &program.display().to_string(),
        test,
        "--exact",
        "--nocapture",
        "--test-threads=1",
    ]);
    let said = text(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "in a node: {}\n{said}\n{}",
        output.status,
        text(&output.stderr)
    );
}

#[test]
fn an_agents_configuration_is_one_that_the_plugin_takes() {
    in_a_node(&[], |config| {
        let status = Call::bare("STATUS").run(config);
        assert!(status.ok, "{status:?}");
        // A container of the node's runtime, beside the pods that the agent runs.
        let pod = Pod::new("ctr");
        let result = add(&pod, config).done();
        assert_eq!(result["interfaces"][0]["name"], "cbr0", "{result}");
        let gateway = result["ips"][0]["gateway"].as_str().expect("a gateway");
        assert!(pod.reaches(gateway));
        assert!(del(&pod, config).ok);
        // Which the agent does, at once.
        wait_for("end of the dead link", || group(DEAD_GROUP).is_empty());
    });
}

#[test]
fn a_node_that_leaves_has_no_configuration() {
    let place = Place::ordinary();
    place.ok(&["up", "--nodes", "2"]);
    let files = ["node-1", "node-2"].map(|node| conflist(&place, node));
    wait_for("CNI configurations", || files.iter().all(|f| f.exists()));
    place.ok(&["node", "remove", "node-1"]);
    wait_for("end of the configuration", || !files[0].exists());
    assert!(files[1].exists());
}

#[test]
fn a_node_that_cannot_reach_the_others_has_no_configuration() {
    let place = Place::ordinary();
    place.ok(&["up", "--nodes", "1"]);
    let file = conflist(&place, "node-1");
    wait_for("CNI configuration", || file.exists());
    let inside = |script: &str| place.ok(&["shell", "node-1", "--", "sh", "-euc", script]);
    let address = inside("ip -o -4 address show eth0 | tr -s ' ' | cut -d ' ' -f 4");
    let address = address.trim();
    inside(&format!("ip address delete {address} dev eth0"));
    wait_for("end of the configuration", || !file.exists());
    inside(&format!("ip address add {address} dev eth0"));
    wait_for("CNI configuration again", || file.exists());
}
