//! `get --watch`: what is there, then what changes, line by line.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::json;

use super::printed::masked;
use super::{Tool, place};
use crate::kubectl::Kubectl;
use crate::lab::pod;

/// One that goes on until it is dropped.
struct Watching {
    process: Child,
    lines: Option<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(tool: &Tool<'_>, line: &str) -> Watching {
        let mut process = tool.command(line).stdout(Stdio::piped()).spawn().unwrap();
        let lines = process.stdout.take().map(BufReader::new);
        Watching { process, lines }
    }

    /// Its next lines, however long they take.
    async fn next(&mut self, count: usize) -> String {
        let mut reader = self.lines.take().unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            for _ in 0..count {
                reader.read_line(&mut text).unwrap();
            }
            (reader, text)
        });
        let (reader, text) = read.await.unwrap();
        self.lines = Some(reader);
        masked(text.as_bytes())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A pod comes, changes and goes.
async fn changes(kubectl: &Kubectl) {
    let late = kubectl.file("late.json", &pod("late-and-longer"));
    kubectl.ok(&["create", "-f", &late]).await;
    kubectl
        .ok(&["label", "pod", "late-and-longer", "x=1"])
        .await;
    kubectl
        .ok(&["delete", "-f", &late, "--force", "--grace-period=0"])
        .await;
}

#[tokio::test]
async fn changes_are_printed_as_they_come() {
    for (line, at_first, later) in [
        ("get pods --watch", 3, 3),
        ("get pods -w -A --show-labels", 3, 3),
        ("get pods -w --output-watch-events", 3, 3),
        ("get pods -w --server-print=false --show-kind", 3, 3),
        ("get pods -w -o jsonpath={.metadata.name}{\"\\n\"}", 2, 3),
    ] {
        let Some((_lab, kubectl)) = place().await else {
            return;
        };
        for name in ["a", "b-longer"] {
            let file = kubectl.file("pod.json", &pod(name));
            kubectl.ok(&["create", "-f", &file]).await;
        }
        let mut theirs = Watching::start(&Tool::Kubectl(&kubectl), line);
        let mut ours = Watching::start(&Tool::Podnet(&kubectl), line);
        let mut printed = (theirs.next(at_first).await, ours.next(at_first).await);
        changes(&kubectl).await;
        printed.0 += &theirs.next(later).await;
        printed.1 += &ours.next(later).await;
        assert_eq!(printed.1, printed.0, "{line}");
    }
}

/// The server remembers a few megabytes of changes; an object may be older than all of them.
#[tokio::test]
async fn an_old_object_is_watched() {
    let Some((_lab, kubectl)) = place().await else {
        return;
    };
    let file = kubectl.file("pod.json", &pod("old"));
    kubectl.ok(&["create", "-f", &file]).await;
    for n in 0..8 {
        let data = json!({"a": n.to_string().repeat(900_000)});
        let large = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": data});
        let file = kubectl.file("large.json", &large);
        kubectl.ok(&["replace", "--force", "-f", &file]).await;
    }
    let line = "get pod old -w -o jsonpath={.metadata.labels.x}{\"\\n\"}";
    let mut theirs = Watching::start(&Tool::Kubectl(&kubectl), line);
    let mut ours = Watching::start(&Tool::Podnet(&kubectl), line);
    let mut printed = (theirs.next(1).await, ours.next(1).await);
    kubectl.ok(&["label", "pod", "old", "x=1"]).await;
    printed.0 += &theirs.next(1).await;
    printed.1 += &ours.next(1).await;
    assert_eq!(printed.0, "\n1\n");
    assert_eq!(printed.1, printed.0);
}
