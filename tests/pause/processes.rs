//! Processes end when they should, and no others.

use std::fs;
use std::os::fd::OwnedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use podnet::pod::bundle::PidNamespace;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::os::fd::AsFd;

use crate::container::{eventually, shell};
use crate::place::{Place, with_pod};

/// Every process of the pod but podnet-pause.
fn processes(pod: &Place) -> Vec<i32> {
    let own = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != pod.pid && own(*pid) == own(pod.pid) && own(*pid).is_some())
        .collect()
}

fn pidfd(pid: i32) -> OwnedFd {
    let pid = Pid::from_raw(pid).expect("a PID");
    pidfd_open(pid, PidfdFlags::empty()).expect("it lives")
}

fn is_dead(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).expect("polled") == 1
}

#[test]
fn orphans_are_reaped() {
    with_pod(async |pod| {
        // Ten whose parent is gone, then a look at who is left.
        let script = "for i in 0 1 2 3 4 5 6 7 8 9; do (sleep 0.01 &); done
            until [ -z \"$(grep -ls '^Name:.*sleep' /proc/[0-9]*/status)\" ]; do sleep 0.01; done
            echo $PPID; grep -l '^State:.Z' /proc/[0-9]*/status; echo end";
        let mut bundle = shell("a", script);
        bundle.pids = PidNamespace::Pod;
        assert_eq!(pod.run(&bundle).await, (0, "1\nend\n".to_owned()));
    });
}

#[test]
fn what_a_container_leaves_behind_ends_with_it() {
    for pids in [PidNamespace::Own, PidNamespace::Pod] {
        with_pod(async move |pod| {
            let mut other = shell("other", "exec sleep 600");
            other.pids = pids;
            pod.start(&other).await;
            let script = "(setsid sleep 601 &); (sleep 602 &); exit 3";
            let mut bundle = shell("a", script);
            bundle.pids = pids;
            pod.start(&bundle).await;
            assert_eq!(pod.ended("a").await.exit_code, 3);
            eventually("only the other's is left", || {
                (processes(pod).len() == 1).then_some(())
            })
            .await;
        });
    }
}

#[test]
fn nothing_outlives_a_killed_pause_process() {
    with_pod(async |pod| {
        for (name, pids) in [("own", PidNamespace::Own), ("pod", PidNamespace::Pod)] {
            let mut bundle = shell(name, "trap '' TERM HUP; sleep 600 & setsid sleep 601; wait");
            bundle.pids = pids;
            pod.start(&bundle).await;
        }
        let alive = eventually("6 processes", || {
            let found = processes(pod);
            (found.len() == 6).then_some(found)
        });
        let alive: Vec<OwnedFd> = alive.await.into_iter().map(pidfd).collect();
        let pause = Pid::from_raw(pod.pid).expect("a PID");
        kill_process(pause, Signal::KILL).expect("killed");
        eventually("all are dead", || alive.iter().all(is_dead).then_some(())).await;
    });
}
