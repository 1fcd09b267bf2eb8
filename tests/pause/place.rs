//! A pod of its own for a test, in fresh namespaces: the real podnet-pause,
//! spoken to as the agent does.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use podnet::pod::bundle::{Bundle, PidNamespace, Process, Root, Streams, User};
use podnet::pod::protocol::{Container, Ended};
use podnet::pod::{Changes, NewPod, Pause, spawn};

use crate::support::isolated;

pub const PATIENCE: Duration = Duration::from_secs(60);
/// What Docker leaves to a container's root.
pub const CAPABILITIES: u64 = 0xa804_25fb;
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub struct Place {
    dir: tempfile::TempDir,
    pub pause: Pause,
    /// Of the pause process, here.
    pub pid: i32,
    changes: tokio::sync::Mutex<Changes>,
}

/// Runs `test` with a pod; what is left of it ends with the namespaces.
pub fn with_pod(test: impl AsyncFnOnce(&Place)) {
    isolated(|| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let place = Place::new(tempfile::tempdir().expect("a directory")).await;
            test(&place).await;
            place.pause.stop().await.expect("asked to stop");
            within("the pod ends", place.pause.ended()).await;
        });
    });
}

/// Fails the test if it takes for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("never: {what}"),
    }
}

pub async fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
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

/// A container that runs a shell script on the machine's own files.
pub fn shell(name: &str, script: &str) -> Bundle {
    let words = ["/bin/sh", "-c", script];
    let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
    Bundle {
        name: name.to_owned(),
        attempt: 0,
        process: Process {
            argv: words.map(str::to_owned).to_vec(),
            env: vec![PATH.to_owned()],
            cwd: PathBuf::from("/"),
            user: User::default(),
            capabilities: CAPABILITIES,
            no_new_privileges: true,
        },
        root: Root {
            layers: paths(&["/"]),
            hidden: paths(&["/home", "/root", "/tmp", "/run", "/mnt", "/media", "/work"]),
            read_only: false,
            masked: paths(&[
                "/proc/kcore",
                "/proc/keys",
                "/proc/timer_list",
                "/sys/firmware",
            ]),
            read_only_paths: paths(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"]),
        },
        mounts: Vec::new(),
        pids: PidNamespace::Own,
        streams: Streams::default(),
        log: Path::new("logs").join(name).join("0.log"),
    }
}
