//! A lab for a bench: the real binary, in a state directory of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub const PODNET: &str = env!("CARGO_BIN_EXE_podnet");

/// Whatever happens, its labs are down afterwards.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Result<Place> {
        Ok(Place {
            dir: tempfile::tempdir()?,
        })
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PODNET);
        command
            .args(arguments)
            .env("PODNET_STATE_DIR", self.dir.path())
            .env_remove("PODNET_LAB")
            .stdin(Stdio::null());
        command
    }

    pub fn timed(&self, arguments: &[&str]) -> Result<Duration> {
        let start = Instant::now();
        let output = self.command(arguments).output()?;
        let took = start.elapsed();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("podnet {}: {said}", arguments.join(" "));
        }
        Ok(took)
    }

    pub fn up(&self, nodes: u32) -> Result<Duration> {
        self.timed(&["up", "--nodes", &nodes.to_string()])
    }

    pub fn down(&self) -> Result<Duration> {
        self.timed(&["down"])
    }

    pub fn inside(&self, arguments: &[&str]) -> Result<String> {
        let output = self.inside_command(arguments)?.output()?;
        if !output.status.success() {
            bail!("inside {}: {}", arguments.join(" "), output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// This program, in the lab's underlay.
    pub fn inside_command(&self, arguments: &[&str]) -> Result<Command> {
        let program: PathBuf = std::env::current_exe()?;
        let mut command = self.command(&["shell", "underlay", "--"]);
        command.arg(program).arg("inside").args(arguments);
        command.stderr(Stdio::inherit());
        Ok(command)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = self.timed(&["down", "--all"]) {
            eprintln!("{error:#}");
        }
    }
}
