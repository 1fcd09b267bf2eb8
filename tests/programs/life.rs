//! Programs as process 1 of a PID namespace, for which the kernel drops every
//! signal without a handler.

use std::fs;
use std::process::Command;

use nix::sys::signal::{SIGINT, SIGKILL, SIGTERM, Signal};

use crate::process::{PROGRAM, Program, eventually, signal};
use crate::support::{isolated, sh};

/// As process 1; what runs it ends as it does.
fn as_process_1(script: &str) -> (Program, u32) {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--kill-child", "--", "sh", "-c", script])
        .env("PROGRAM", PROGRAM);
    let unshare = Program::spawn(&mut command);
    let first = eventually("process 1 is there", || children(unshare.pid()).pop());
    let status = fs::read_to_string(format!("/proc/{first}/status")).expect("read");
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    assert!(pids.expect("a line").ends_with("\t1"), "{pids:?}");
    unshare.wait_listening_to_signals(first);
    (unshare, first)
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let text = text.unwrap_or_default();
    text.split_whitespace()
        .map(|pid| pid.parse().expect("a pid"))
        .collect()
}

#[test]
fn every_program_ends_when_it_is_told_to() {
    isolated(|| {
        sh("ip link set lo up");
        let cases: [(&str, Signal, i32); 9] = [
            ("kubia", SIGTERM, 143),
            ("kubia-unhealthy", SIGINT, 130),
            ("pause", SIGTERM, 0),
            ("pause", SIGINT, 0),
            ("agnhost pause", SIGTERM, 2),
            ("agnhost pause", SIGINT, 1),
            ("agnhost netexec", SIGTERM, 0),
            ("agnhost serve-hostname", SIGTERM, 0),
            ("agnhost liveness", SIGTERM, 0),
        ];
        for (program, told, code) in cases {
            let (mut unshare, first) = as_process_1(&format!("exec \"$PROGRAM\" {program}"));
            signal(first, told);
            assert_eq!(unshare.wait().code(), Some(code), "{program}: {told}");
        }
    });
}

#[test]
fn pause_reaps_the_orphans_that_fall_to_it() {
    isolated(|| {
        let (_unshare, first) = as_process_1("(sleep 600 & sleep 600 &); exec \"$PROGRAM\" pause");
        let orphans = children(first);
        assert_eq!(orphans.len(), 2);
        for orphan in orphans {
            signal(orphan, SIGKILL);
        }
        // A dead one that nobody reaped would still be its child.
        eventually("all are reaped", || {
            children(first).is_empty().then_some(())
        });
    });
}
