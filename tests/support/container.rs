//! Containers of a test, and waiting for what they do.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use podnet::pod::bundle::{Bundle, PidNamespace, Process, Root, Streams, User};

/// Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// What Docker leaves to a container's root.
pub const CAPABILITIES: u64 = 0xa804_25fb;
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Fails the test if it takes for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("never: {what}"),
    }
}

/// Asks until there is an answer.
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
            hidden: paths(&["/home", "/root", "/tmp", "/run", "/mnt", "/media"]),
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
