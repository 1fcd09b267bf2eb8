//! The real kubectl, with a home of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use podnet::cluster::kubeconfig;
use serde_json::Value;

use crate::lab::Lab;

pub struct Kubectl {
    /// Its kubeconfig is here, and what it remembers of servers: the next one may have this one's
    /// port.
    home: tempfile::TempDir,
}

impl Kubectl {
    /// `None` where there is none on the path; the test then says that it was skipped.
    pub async fn of(lab: &Lab) -> Option<Kubectl> {
        let home = tempfile::tempdir().unwrap();
        kubeconfig::write_private(&home.path().join("config"), &lab.kubeconfig()).unwrap();
        let kubectl = Kubectl { home };
        let mut version = command(kubectl.home.path(), &["version", "--client"]);
        if version.stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: there is no kubectl on the path");
            return None;
        }
        Some(kubectl)
    }

    /// Runs it without standing in the way of the server in this process.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "").await
    }

    /// As [`Kubectl::run`], with `KUBE_EDITOR`.
    pub async fn run_with(&self, arguments: &[&str], editor: &str) -> Output {
        let mut command = command(self.home.path(), arguments);
        command.env("KUBE_EDITOR", editor).stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap()
    }

    /// What it prints; fails if it fails.
    pub async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complains of; fails if it does not fail.
    pub async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(!output.status.success(), "kubectl {arguments:?} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }

    /// It, not run yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        command(self.home.path(), arguments)
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("config")
    }

    /// Writes a manifest and returns its path.
    pub fn file(&self, name: &str, manifest: &Value) -> String {
        let path: PathBuf = self.home.path().join(name);
        std::fs::write(&path, manifest.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn command<S: AsRef<OsStr>>(home: &Path, arguments: &[S]) -> Command {
    let mut command = Command::new("kubectl");
    command
        .env("HOME", home)
        .env("KUBECONFIG", home.join("config"))
        .args(arguments);
    command
}
