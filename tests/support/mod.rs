//! A place of its own for a test: fresh user, network and mount namespaces. And what scripts/setup
//! has fetched.
//!
//! Used by several test programs, of which none uses all of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const INSIDE: &str = "PODNET_TEST_INSIDE";

/// Run `body` in a process of its own inside new namespaces, where this user is
/// root; the machine's own network is out of reach. Fails, and says why, where
/// the machine does not allow user namespaces.
pub fn isolated(body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let thread = std::thread::current();
    let test = thread.name().expect("libtest names its threads");
    let program = std::env::current_exe().expect("the test program");
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "--mount", "--"])
        .arg(program)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .arg("--include-ignored")
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .expect("`unshare` (Debian package util-linux) runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "in its own namespaces (is kernel.unprivileged_userns_clone or \
         user.max_user_namespaces 0?): {}\n{stdout}\n{stderr}",
        output.status
    );
}

/// Run a shell command and answer what it prints.
pub fn sh(command: &str) -> String {
    let output = Command::new("sh")
        .args(["-euc", command])
        .output()
        .expect("sh runs");
    assert!(
        output.status.success(),
        "{command}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Where scripts/setup has put Debian 12's kubectl 1.20; `None` where it could not fetch it.
pub fn oldest_kubectl() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_podnet"));
    let target = program.parent()?.parent()?;
    let kubectl = target.join("kubectl-1.20/usr/bin/kubectl");
    kubectl.is_file().then_some(kubectl)
}
