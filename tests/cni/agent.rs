//! A lab's nodes as a container runtime finds them.

use std::fs;

use serde_json::{Value, json};

use crate::lab::Place;
use crate::place::{plugin, wait_for};

/// What a runtime makes of a list's only plugin (CNI 1.1 §3).
fn plugin_configuration(list: &Value) -> Value {
    let mut config = list["plugins"][0].clone();
    config["name"] = list["name"].clone();
    config["cniVersion"] = json!("1.1.0");
    config
}

#[test]
fn an_agents_configuration_is_one_that_the_plugin_takes() {
    let place = Place::ordinary();
    place.ok(&["up", "--nodes", "2"]);
    let file = place
        .lab("default")
        .join("nodes/node-1/cni/10-podnet.conflist");
    wait_for("CNI configuration", || file.exists());
    let list: Value =
        serde_json::from_str(&fs::read_to_string(&file).expect("there")).expect("JSON");
    let config = plugin_configuration(&list).to_string();
    // A container of the node's runtime, beside the pods that the agent runs.
    let script = format!(
        "export CNI_CONTAINERID=ctr CNI_IFNAME=eth0 CNI_PATH=/
         say() {{ printf %s '{config}'; }}
         unshare --net sleep 60 & child=$!
         export CNI_NETNS=/proc/$child/ns/net
         while [ $(readlink $CNI_NETNS) = $(readlink /proc/$$/ns/net) ]; do :; done
         say | CNI_COMMAND=STATUS {plugin} >&2
         say | CNI_COMMAND=ADD {plugin}
         gateway=$(nsenter --net=$CNI_NETNS ip -4 route show default | cut -d ' ' -f 3)
         nsenter --net=$CNI_NETNS ping -c 1 -W 5 $gateway >&2
         say | CNI_COMMAND=DEL {plugin} >&2
         kill $child
         while ip link show group 28773 | grep -q dead; do :; done",
        plugin = plugin().display(),
    );
    let answer = place.ok(&["shell", "node-1", "--", "sh", "-euc", &script]);
    let result: Value = serde_json::from_str(&answer).expect("ADD's result");
    assert_eq!(result["interfaces"][0]["name"], "cbr0", "{result}");
    let others = "nodes/node-2/cni/10-podnet.conflist";
    wait_for("configuration of node-2", || {
        place.lab("default").join(others).exists()
    });
    place.ok(&["node", "remove", "node-1"]);
    wait_for("end of the configuration", || !file.exists());
}
