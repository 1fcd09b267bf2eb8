//! A lab as the host and its own `status` show it.

use std::collections::BTreeSet;

use crate::place::{Place, eventually, namespace_of, now_ticks, processes_in};

pub const KINDS: [&str; 5] = ["pid", "net", "mnt", "uts", "ipc"];

/// The lab's processes on the host, and every namespace that they are in.
pub fn anatomy(init: i32) -> (Vec<i32>, Vec<(&'static str, BTreeSet<u64>)>) {
    let own = BTreeSet::from([namespace_of(init, "pid").expect("PID 1 is there")]);
    let processes = processes_in("pid", &own, now_ticks());
    let namespaces = KINDS.map(|kind| {
        let inodes = processes.iter().filter_map(|pid| namespace_of(*pid, kind));
        (kind, inodes.collect())
    });
    (processes, namespaces.into())
}

/// Eventually: who is dead shows until the host's init has taken note.
pub fn nothing_is_left_in(namespaces: &[(&str, BTreeSet<u64>)]) {
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

pub fn node_names(place: &Place, lab: &str) -> Vec<String> {
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

pub fn is_ready(place: &Place, lab: &str, node: &str) -> bool {
    let status = place.status(lab);
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    nodes
        .iter()
        .any(|found| found["name"] == node && found["status"] == "Ready")
}
