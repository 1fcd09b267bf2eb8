//! A place to keep labs in for one test: the real binary with a state
//! directory of its own. Whatever happens, its labs are down afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;

pub const PATIENCE: Duration = Duration::from_secs(60);
const NOBODY: u32 = 65534;

pub struct Place {
    dir: tempfile::TempDir,
    as_nobody: bool,
    /// Seconds between two looks of an agent without news.
    resync: Option<&'static str>,
}

impl Place {
    /// As whoever runs the tests.
    pub fn new() -> Place {
        Place::checked(false)
    }

    /// With agents that look again after so many seconds without news.
    pub fn with_resync(seconds: &'static str) -> Place {
        let mut place = Place::new();
        place.resync = Some(seconds);
        place
    }

    /// As an ordinary user, even if the tests run as root.
    pub fn ordinary() -> Place {
        Place::checked(nix::unistd::geteuid().is_root())
    }

    /// A machine that gives no namespaces fails its tests, and says how to mend it.
    fn checked(as_nobody: bool) -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        if as_nobody {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).expect("given away");
        }
        let place = Place {
            dir,
            as_nobody,
            resync: None,
        };
        let doctor = place.podnet(&["doctor"]);
        let found = text(&doctor.stdout);
        assert!(doctor.status.success(), "no lab can run here:\n{found}");
        place
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn lab(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_podnet");
        let mut command = if self.as_nobody {
            let mut command = Command::new("setpriv");
            let uid = NOBODY.to_string();
            command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", binary]);
            command
        } else {
            Command::new(binary)
        };
        command
            .args(args)
            .env("PODNET_STATE_DIR", self.root())
            .env_remove("PODNET_LAB")
            .envs(
                self.resync
                    .map(|seconds| ("PODNET_RESYNC_SECONDS", seconds)),
            );
        command
    }

    /// A pod of the default lab that no flag of `podnet run` describes.
    pub fn create_pod(&self, manifest: &str) {
        let pod: Pod = serde_json::from_str(manifest).expect("a pod");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let kubeconfig = self.lab("default").join("kubeconfig");
            let client = podnet::cluster::connect(&kubeconfig)
                .await
                .expect("a client");
            let pods: Api<Pod> = Api::default_namespaced(client);
            pods.create(&PostParams::default(), &pod)
                .await
                .expect("created");
        });
    }

    pub fn podnet(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("podnet runs")
    }

    /// What a command that has to succeed prints.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.podnet(args);
        assert!(
            output.status.success(),
            "podnet {args:?}: {}\n{}\n{}",
            output.status,
            text(&output.stderr),
            self.logs()
        );
        text(&output.stdout)
    }

    /// The exit code and the complaint of one that has to fail.
    pub fn refused(&self, args: &[&str]) -> (i32, String) {
        let output = self.podnet(args);
        assert!(!output.status.success(), "podnet {args:?} succeeded");
        (output.status.code().unwrap_or(-1), text(&output.stderr))
    }
    pub fn status(&self, lab: &str) -> serde_json::Value {
        let output = self.podnet(&["status", "--lab", lab, "-o", "json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn logs(&self) -> String {
        let mut logs = String::new();
        let mut unread = vec![self.root().to_owned()];
        while let Some(dir) = unread.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    unread.push(path);
                } else if path.is_file() && path.extension().is_some_and(|end| end == "log") {
                    let log = fs::read_to_string(&path).unwrap_or_default();
                    logs.push_str(&format!("--- {}\n{log}", path.display()));
                }
            }
        }
        logs
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        self.podnet(&["down", "--all"]);
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asks until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The host's links, routes and mounts, which no lab may change; but for names
/// in /run/netns, which one test has made while others look.
#[derive(Debug, PartialEq, Eq)]
pub struct Host {
    links: BTreeSet<String>,
    mounts: Vec<String>,
    routes: String,
}
pub fn host() -> Host {
    let names = fs::read_dir("/sys/class/net").expect("links");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    Host {
        links: names
            .map(|link| {
                link.expect("a link")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect(),
        mounts: mounts
            .lines()
            .filter(|mount| !mount.contains(" /run/netns/"))
            .map(str::to_owned)
            .collect(),
        routes: fs::read_to_string("/proc/net/route").expect("routes"),
    }
}

/// Processes of the host by the inode of their `kind` namespace, and by when
/// they started: inodes of namespaces that are gone are given again.
pub fn processes_in(kind: &str, inodes: &BTreeSet<u64>, until_ticks: u64) -> Vec<i32> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| namespace_of(*pid, kind).is_some_and(|inode| inodes.contains(&inode)))
        .filter(|pid| start_of(*pid).is_some_and(|start| start <= until_ticks))
        .collect()
}

/// Now, as processes' start times are given: proc_pid_stat(5), field 22.
pub fn now_ticks() -> u64 {
    let mut latest = Command::new("sleep").arg("60").spawn().expect("sleep");
    let start = start_of(latest.id().cast_signed());
    latest.kill().expect("killed");
    latest.wait().expect("reaped");
    start.expect("its start")
}

fn start_of(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(22 - 3)?.parse().ok()
}

/// `None` if the process is gone.
pub fn namespace_of(pid: i32, kind: &str) -> Option<u64> {
    let link = fs::metadata(format!("/proc/{pid}/ns/{kind}")).ok()?;
    Some(link.ino())
}

/// The lab's PID 1 on the host.
pub fn init_of(lab: &Path) -> i32 {
    let record = fs::read_to_string(lab.join("lab.json")).expect("a record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    let pid = record["init"]["pid"].as_i64().expect("a PID");
    i32::try_from(pid).expect("a PID")
}
