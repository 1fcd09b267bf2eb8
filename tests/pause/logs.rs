//! Logs are bounded, and hold nobody up.

use std::fs;
use std::path::{Path, PathBuf};

use crate::container::{eventually, shell};
use crate::place::{Place, with_pod};
use crate::support::sh;

/// Memory that is the pause process' own, in KiB: smaps(5). Pages of its program's file come
/// and go with others that run it.
fn own_kib(pod: &Place) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", pod.pid)).expect("smaps");
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("a number")
}

fn sizes(dir: &Path) -> Vec<u64> {
    let files = fs::read_dir(dir).expect("logs").flatten();
    files
        .map(|file| file.metadata().expect("a file").len())
        .collect()
}

#[test]
fn a_hundred_megabytes_are_rotated_and_take_no_memory() {
    with_pod(async |pod| {
        let line = "a line of sixty-four bytes, or nearly so; it has no other use..";
        pod.run(&shell("small", &format!("yes '{line}' | head -c 1000000")))
            .await;
        let before = own_kib(pod);
        let script = format!("yes '{line}' | head -c 100000000; echo the last");
        pod.start(&shell("a", &script)).await;
        assert_eq!(pod.ended("a").await.exit_code, 0);
        let after = own_kib(pod);
        assert!(after < before + 1024, "{before} KiB, then {after} KiB");
        let sizes = sizes(pod.log("a").parent().expect("its directory"));
        assert_eq!(sizes.len(), 5, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size <= 10 << 20), "{sizes:?}");
        assert!(pod.said("a").ends_with("the last\n"));
    });
}

#[test]
fn a_full_disk_stops_no_container_and_what_is_lost_is_said() {
    with_pod(async |pod| {
        let disk = pod.dir().join("logs");
        let pause = format!("nsenter -t {} -m", pod.pid);
        fs::create_dir(&disk).expect("a directory");
        sh(&format!(
            "{pause} mount -t tmpfs -o size=64k none {}",
            disk.display()
        ));
        let script =
            "yes 'a line of some length' | head -c 1000000; echo; echo done > /dev/shm/done
            until [ -e /dev/shm/go ]; do sleep 0.01; done; echo space again";
        pod.start(&shell("a", script)).await;
        let shm = format!("/proc/{}/root{}", pod.pid, pod.dir().join("shm").display());
        let done = PathBuf::from(&shm).join("done");
        eventually("it goes on", || done.exists().then_some(())).await;
        sh(&format!(
            "{pause} mount -o remount,size=8m {}",
            disk.display()
        ));
        fs::write(PathBuf::from(&shm).join("go"), "").expect("told to go on");
        assert_eq!(pod.ended("a").await.exit_code, 0);
        let log = sh(&format!("{pause} cat {}", pod.log("a").display()));
        assert!(log.ends_with("stdout F space again\n"), "{log}");
        let lost = "bytes of the log could not be written: No space left on device";
        // As often as something small fitted in between.
        assert!(log.contains(lost), "{log}");
        let whole = log.lines().all(|line| line.contains(" F"));
        assert!(whole, "a torn line");
    });
}
