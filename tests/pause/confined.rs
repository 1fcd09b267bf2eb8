//! What a container cannot do: one test for each way out that was tried.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;

use podnet::pod::Stdio;
use podnet::pod::bundle::PidNamespace;

use crate::container::{CAPABILITIES, shell};
use crate::exec::exec;
use crate::place::{Place, with_pod, with_pod_of_root};

const NET_RAW: u64 = 1 << 13;

/// A script that has to fail, and what it is told.
const ATTEMPTS: [(&str, &str); 14] = [
    ("mount -t tmpfs none /mnt", "permission denied"),
    ("mount --bind /etc /mnt", "permission denied"),
    ("umount /proc/sys", "must be superuser"),
    ("umount /sys", "must be superuser"),
    (
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        "Read-only file system",
    ),
    ("mkdir /sys/kernel/x", ""),
    ("head -c 1 /proc/kcore | grep -q .", ""),
    ("chmod 666 /dev/null", "Read-only file system"),
    ("chmod 666 /proc/self/fd/0", "Read-only file system"),
    ("chmod 444 /proc/keys", "Read-only file system"),
    ("hostname stolen", "must be root"),
    ("ip link add x type dummy", "Operation not permitted"),
    ("ip link set lo down", "Operation not permitted"),
    (
        "nsenter -t 1 -m true && nsenter --target 1 --net true",
        "Operation not permitted",
    ),
];

async fn nothing_works(pod: &Place) {
    for (number, (script, complaint)) in ATTEMPTS.iter().enumerate() {
        let mut bundle = shell(&format!("c{number}"), script);
        bundle
            .root
            .read_only_paths
            .push("/proc/sysrq-trigger".into());
        let (code, said) = pod.run(&bundle).await;
        assert_ne!(code, 0, "{script} worked");
        let said = said.to_lowercase();
        assert!(said.contains(&complaint.to_lowercase()), "{script}: {said}");
    }
}

#[test]
fn neither_the_machine_nor_the_pods_network_can_be_changed() {
    with_pod(nothing_works);
}

#[test]
fn not_by_root_either() {
    with_pod_of_root(nothing_works);
}

/// Docker's root may make device nodes; a devices cgroup keeps it from using them.
#[test]
fn device_nodes_that_are_made_cannot_be_opened() {
    with_pod_of_root(async |pod| {
        fs::create_dir_all(pod.dir().join("volumes/data")).expect("a volume");
        let script = "for dir in / /tmp /dev/shm /dev /data /run; do
                mknod $dir/disk c 1 5 2>/dev/null || continue
                head -c 1 $dir/disk > /dev/null && echo opened $dir/disk
            done; head -c 1 /dev/zero | wc -c";
        let mut bundle = shell("a", script);
        bundle.mounts.push(podnet::pod::bundle::Mount {
            source: "volumes/data".into(),
            below: Default::default(),
            target: "/data".into(),
            read_only: false,
        });
        let (_, said) = pod.run(&bundle).await;
        assert!(!said.contains("opened"), "{said}");
        assert!(said.ends_with("1\n"), "{said}");
    });
}

#[test]
fn raw_sockets_need_the_capability() {
    with_pod_of_root(async |pod| {
        let script = "perl -e 'socket(my $s, 2, 3, 1) or die qq($!\\n); print qq(raw\\n)'";
        let mut bundle = shell("a", script);
        assert_eq!(pod.run(&bundle).await, (0, "raw\n".to_owned()));
        bundle.name = "b".to_owned();
        bundle.log = PathBuf::from("logs/b/0.log");
        bundle.process.capabilities = CAPABILITIES & !NET_RAW;
        let (code, said) = pod.run(&bundle).await;
        assert_ne!(code, 0);
        assert_eq!(said, "Operation not permitted\n");
    });
}

#[test]
fn no_other_process_and_no_other_pods_files_are_seen() {
    with_pod_of_root(async |pod| {
        pod.start(&shell("other", "exec sleep 601")).await;
        let script = format!(
            "echo /proc/[0-9]*; ls {}; ls /tmp /run; kill -9 -1; readlink /proc/1/exe",
            pod.dir().display()
        );
        let (_, said) = pod.run(&shell("a", &script)).await;
        let first = said.lines().next().unwrap_or_default();
        assert_eq!(first, "/proc/1", "{said}");
        assert!(said.contains("No such file or directory"), "{said}");
        assert!(
            !said.contains("sandbox.sock") && !said.contains("podnet"),
            "{said}"
        );
        pod.pause.signal("other", 9).await.expect("it still runs");
    });
}

#[test]
fn the_first_process_of_a_shared_namespace_is_out_of_reach() {
    with_pod_of_root(async |pod| {
        let script = "kill -9 1; readlink /proc/1/root /proc/1/exe; ls /proc/1/fd /proc/1/root/";
        let mut bundle = shell("a", script);
        bundle.pids = PidNamespace::Pod;
        let (code, said) = pod.run(&bundle).await;
        assert_ne!(code, 0, "{said}");
        assert!(said.contains("Permission denied"), "{said}");
        assert!(!said.contains("podnet-pause"), "{said}");
        assert_eq!(pod.run(&shell("b", "true")).await.0, 0);
    });
}

/// What is run in a container begins as the pause process, so `/proc/self/exe` names that one's
/// program.
#[test]
fn the_program_of_the_pause_process_cannot_be_changed() {
    with_pod_of_root(async |pod| {
        // Its dynamic linker waits for a FIFO, so that it is there to be found.
        let script = "unset LD_PRELOAD; mkfifo /fifo; echo up
            until grep -lx exe /proc/[0-9]*/comm > /found 2>/dev/null; do sleep 0.02; done
            program=$(dirname $(head -n 1 /found))/exe
            chmod 755 $program; echo tried";
        let mut bundle = shell("a", script);
        bundle.process.env.push("LD_PRELOAD=/fifo".to_owned());
        pod.start(&bundle).await;
        pod.says("a", "up").await;
        let null = File::open("/dev/null").expect("opened");
        let stdio = Stdio::Descriptors([null.as_fd(), null.as_fd(), null.as_fd()]);
        let itself = ["/proc/self/exe".to_owned()];
        let _running = pod.pause.exec("a", &itself, stdio).await.expect("it runs");
        pod.says("a", "tried").await;
        let said = pod.said("a");
        assert!(said.contains("Read-only file system"), "{said}");
    });
}

/// Whoever joins a container still sees what it does not, when it goes to the working directory.
#[test]
fn no_link_leads_a_working_directory_out() {
    with_pod_of_root(async |pod| {
        let script = "rmdir /var/work; ln -s /proc/1/root /var/work; echo up; exec sleep 600";
        let mut bundle = shell("a", script);
        bundle.pids = PidNamespace::Pod;
        bundle.process.cwd = "/var/work".into();
        pod.start(&bundle).await;
        pod.says("a", "up").await;
        let null = File::open("/dev/null").expect("opened");
        let stdio = Stdio::Descriptors([null.as_fd(), null.as_fd(), null.as_fd()]);
        let joined = pod.pause.exec("a", &["true".to_owned()], stdio).await;
        let error = joined.expect_err("it leads out").to_string();
        assert!(error.contains("working directory /var/work"), "{error}");
    });
}

#[test]
fn the_null_device_that_an_agent_hands_on_cannot_be_changed() {
    with_pod_of_root(async |pod| {
        pod.start(&shell("a", "exec sleep 600")).await;
        let (code, said) = exec(pod, "a", "chmod 666 /proc/self/fd/0").await;
        assert_ne!(code, 0, "{said}");
        assert!(said.contains("Read-only file system"), "{said}");
    });
}

#[test]
fn a_terminal_is_none_that_the_container_chose() {
    with_pod_of_root(async |pod| {
        let script = "ln -sf /proc/1/root/dev/ptmx /dev/ptmx; echo up; exec sleep 600";
        let mut bundle = shell("a", script);
        bundle.pids = PidNamespace::Pod;
        pod.start(&bundle).await;
        pod.says("a", "up").await;
        let words = ["true".to_owned()];
        let joined = pod.pause.exec("a", &words, Stdio::Terminal);
        let terminal = joined.await.expect("it runs").terminal;
        let device = rustix::fs::fstat(terminal.expect("a terminal")).expect("looked at");
        let (_, own) = exec(pod, "a", "stat -c %d /dev/pts").await;
        assert_eq!(format!("{}\n", device.st_dev), own);
    });
}
