//! podnet's own verbs when nobody reads what they print, as after `| head -1`.

use std::io;
use std::process::{Command, Output, Stdio};

use podnet::cluster::kubeconfig;

use crate::lab::{Lab, pod};

/// As shells report a program that SIGPIPE has ended.
const UNREAD: i32 = 141;

/// With a standard output that nobody has open for reading any more.
fn unread(words: &[&str]) -> Output {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_podnet"));
    command.args(words).stdin(Stdio::null()).stdout(writer);
    command.output().unwrap()
}

#[track_caller]
fn ended_quietly(words: &[&str], output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "", "{words:?}");
    assert_eq!(output.status.code(), Some(UNREAD), "{words:?}");
}

#[test]
fn what_needs_no_server_ends_without_a_word() {
    let words = ["completion", "bash"];
    ended_quietly(&words, &unread(&words));
}

#[tokio::test]
async fn verbs_end_without_a_word() {
    let lab = Lab::start().await;
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config");
    kubeconfig::write_private(&config, &lab.kubeconfig()).unwrap();
    let config = config.to_str().unwrap().to_owned();
    let pods = "/api/v1/namespaces/default/pods";
    let (code, made) = lab.send("POST", pods, pod("web")).await;
    assert_eq!(code, 201, "{made}");
    for line in [
        "get pods -A",
        "get pods -o yaml",
        "get pods -o jsonpath={.items[0].metadata.name}",
        "get pods --watch",
        "describe pod web",
        "api-resources",
        "label pod web a=b",
        "delete pod web --wait=false",
        "agent --dry-run --node-name n1 --node-ip 192.0.2.1",
    ] {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        words.extend(["--kubeconfig".to_owned(), config.clone()]);
        let run = move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            ended_quietly(&words, &unread(&words));
        };
        tokio::task::spawn_blocking(run).await.unwrap();
    }
}
