//! A pod of its own for a test, in fresh namespaces: the real podnet-pause,
//! spoken to as the agent does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use podnet::pod::bundle::Bundle;
use podnet::pod::protocol::{Container, Ended};
use podnet::pod::{Changes, NewPod, Pause, spawn};

use rustix::process::{Pid, Signal, kill_process};

use crate::container::{eventually, within};
use crate::support::isolated;

/// Says that the namespaces are there: the same as in tests/support.
const INSIDE: &str = "PODNET_TEST_INSIDE";

pub struct Place {
    dir: tempfile::TempDir,
    pub pause: Pause,
    /// Of the pause process, here.
    pub pid: i32,
    changes: tokio::sync::Mutex<Changes>,
}

/// Runs `test` with a pod of an ordinary user, who has but one user number; what is left of
/// the pod ends with the namespaces.
pub fn with_pod(test: impl AsyncFnOnce(&Place)) {
    isolated(in_pod(test));
}

/// As [`with_pod`], but where the tests run as root, the pod is root's.
pub fn with_pod_of_root(test: impl AsyncFnOnce(&Place)) {
    match nix::unistd::geteuid().is_root() && std::env::var_os(INSIDE).is_none() {
        true => isolated_as_root(),
        false => isolated(in_pod(test)),
    }
}

/// Runs this test again in network and mount namespaces of its own, and in no user namespace.
fn isolated_as_root() {
    let thread = std::thread::current();
    let test = thread.name().expect("libtest names its threads");
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--"])
        .arg(std::env::current_exe().expect("the test program"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("`unshare` (Debian package util-linux) runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "as root: {}\n{said}\n{complaint}", output.status);
}

fn in_pod(test: impl AsyncFnOnce(&Place)) -> impl FnOnce() {
    || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let place = Place::new(tempfile::tempdir().expect("a directory")).await;
            test(&place).await;
            // A test may have killed it.
            let _ = place.pause.stop().await;
            within("the pod ends", place.pause.ended()).await;
        });
    }
}

impl Place {
    async fn new(dir: tempfile::TempDir) -> Place {
        let pod = NewPod {
            program: Path::new(env!("CARGO_BIN_EXE_podnet-pause")),
            dir: dir.path(),
            hostname: "web-0",
            ipv6: true,
            host_network: false,
        };
        let child = within("the pod starts", spawn(&pod)).await.expect("a pod");
        let pid = child.id().expect("it runs").cast_signed();
        crate::support::sh(&format!("nsenter -t {pid} -n ip link set lo up"));
        let pause = Pause::connect(dir.path()).expect("a connection");
        let (containers, changes) = pause.watch().await.expect("a watch");
        assert_eq!(containers, []);
        Place {
            dir,
            pause,
            pid,
            changes: tokio::sync::Mutex::new(changes),
        }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub async fn start(&self, bundle: &Bundle) -> i32 {
        let started = within("it starts", self.pause.start(bundle)).await;
        started.expect("started").0
    }

    /// Until the container of this name has ended.
    pub async fn ended(&self, name: &str) -> Ended {
        let mut changes = self.changes.lock().await;
        within(&format!("{name} ends"), async {
            loop {
                let container: Container = changes.next().await.expect("the pod lives");
                if let (true, Some(ended)) = (container.name == name, container.ended) {
                    return ended;
                }
            }
        })
        .await
    }

    /// Runs a container to its end and answers how it went and what it said.
    pub async fn run(&self, bundle: &Bundle) -> (i32, String) {
        self.start(bundle).await;
        let ended = self.ended(&bundle.name).await;
        (ended.exit_code, self.said(&bundle.name))
    }

    /// Until its log has this text.
    pub async fn says(&self, name: &str, text: &str) {
        let what = format!("{name} says {text}");
        eventually(&what, || self.said(name).contains(text).then_some(())).await;
    }

    /// The text of a container's log.
    pub fn said(&self, name: &str) -> String {
        let log = fs::read_to_string(self.log(name)).expect("a log");
        let text = |line: &str| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned() + "\n";
        log.lines().map(text).collect()
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.dir().join("logs").join(name).join("0.log")
    }
}

/// A pod that goes on after its test has failed would hold the test's output open.
impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            // It has ended already, unless something went wrong.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
