//! Pods in real labs: their containers' lives, probes, volumes and images.

mod ending;
mod images;
mod probe_kinds;
mod probes;
mod restarts;
mod together;
mod volumes;

use std::fs;

use serde_json::{Value, json};

use crate::cluster::Cluster;

/// A lab of one node whose back-off takes a thousandth of its time.
pub fn lab() -> Cluster {
    Cluster::up("restartBackOffScale: 0.001")
}

pub fn sh(script: &str) -> Value {
    json!(["sh", "-c", script])
}

/// Processes of the machine that have this word in their command line.
pub fn processes(word: &str) -> Vec<i32> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has = |pid: &i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command
            .split(|byte| *byte == 0)
            .any(|argument| argument == word.as_bytes())
    };
    numbers.filter(has).collect()
}

/// A number of seconds to sleep that no other test sleeps.
pub fn unique(test: u32) -> String {
    format!("{}{test:03}", 100_000 + std::process::id())
}

pub fn terminated(status: &Value, which: &str) -> Value {
    status[which]["terminated"].clone()
}

pub fn condition(pod: &Value, kind: &str) -> Value {
    let conditions = pod["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions
        .into_iter()
        .find(|c| c["type"] == kind)
        .unwrap_or_default()
}
