//! podnet's own verbs against the real kubectl: the same command lines print the same.
//!
//! What only looks is run by both on one server; what changes something is run as a whole story,
//! by each on a server of its own.

mod applying;
mod looking;
#[path = "../support/printed.rs"]
mod printed;
mod random;
mod stories;
mod watching;
mod world;

use std::process::{Command, Stdio};

use crate::kubectl::Kubectl;
use crate::lab::Lab;
use printed::{Printed, split};

/// One of the two tools, with the kubeconfig of a server.
pub enum Tool<'a> {
    Kubectl(&'a Kubectl),
    Podnet(&'a Kubectl),
}

impl Tool<'_> {
    pub async fn run(&self, line: &str) -> Printed {
        let mut command = self.command(line);
        let output = tokio::task::spawn_blocking(move || command.output());
        Printed::of(&output.await.unwrap().unwrap())
    }

    /// Where files are, and the server's kubeconfig, is the same for both.
    pub fn command(&self, line: &str) -> Command {
        let words = split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = match self {
            Tool::Kubectl(kubectl) => kubectl.command(&words),
            Tool::Podnet(kubectl) => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_podnet"));
                command
                    .args(words)
                    .arg("--kubeconfig")
                    .arg(kubectl.kubeconfig());
                command
            }
        };
        command.stdin(Stdio::null());
        command
    }
}

/// A server with its kubectl; `None` where there is no kubectl.
async fn place() -> Option<(Lab, Kubectl)> {
    let lab = Lab::start().await;
    let kubectl = Kubectl::of(&lab).await?;
    Some((lab, kubectl))
}
