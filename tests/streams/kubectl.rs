//! The same with kubectl, where there is one.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::container::{shell, within};
use crate::forward::ECHO;
use crate::forwarded::{Forwarded, bytes};
use crate::place::{POD, Place, with_pod};

/// The version, printed; `None`, and a word on it, without one.
fn version() -> Option<String> {
    let output = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            println!("kubectl: {}", text.lines().next().unwrap_or_default());
            Some(text)
        }
        _ => {
            println!("skipped: there is no kubectl");
            None
        }
    }
}

/// What carries the streams of kubectl's newer versions, and of all of them.
const WEBSOCKETS: [bool; 2] = [true, false];

impl Place {
    fn kubectl(&self, websockets: bool) -> Command {
        let mut command = Command::new("kubectl");
        for kind in ["REMOTE_COMMAND", "PORT_FORWARD"] {
            command.env(format!("KUBECTL_{kind}_WEBSOCKETS"), websockets.to_string());
        }
        command.env("KUBECONFIG", self.kubeconfig());
        command.env("HOME", self.kubeconfig().parent().expect("a directory"));
        command
    }

    async fn output(&self, websockets: bool, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.kubectl(websockets);
        command.args(arguments);
        let input = input.to_vec();
        let run = move || {
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let mut child = command.spawn().expect("kubectl runs");
            let mut stdin = child.stdin.take().expect("a pipe");
            let writer = std::thread::spawn(move || stdin.write_all(&input));
            let output = child.wait_with_output().expect("it ends");
            let _ = writer.join();
            output
        };
        within("kubectl ends", tokio::task::spawn_blocking(run))
            .await
            .expect("no panic")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn logs_and_exec() {
    if version().is_none() {
        return;
    }
    with_pod(async |place| {
        let mut bundle = shell(
            "main",
            "echo hello; while read line; do echo \"said $line\"; done; exec sleep 1000",
        );
        bundle.streams.stdin = true;
        place.start_bundle(&bundle).await;
        within("a log", async {
            while place.logs(kube::api::LogParams::default()).await.unwrap() != "hello\n" {}
        })
        .await;
        let logs = ["logs", POD, "-c", "main", "--tail=1"];
        let logs = place.output(true, &logs, b"").await;
        assert_eq!(text(&logs.stdout), "hello\n", "{}", text(&logs.stderr));
        for websockets in WEBSOCKETS {
            exec(place, websockets).await;
        }
    });
}

async fn exec(place: &Place, websockets: bool) {
    let exec = [
        "exec",
        POD,
        "-c",
        "main",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 7",
    ];
    let run = place.output(websockets, &exec, b"").await;
    assert_eq!(run.status.code(), Some(7), "{}", text(&run.stderr));
    assert_eq!(text(&run.stdout), "out\n");
    assert!(
        text(&run.stderr).starts_with("err\n"),
        "{}",
        text(&run.stderr)
    );
    let sent = bytes(10 << 20);
    let cat = place
        .output(
            websockets,
            &["exec", "-i", POD, "-c", "main", "--", "cat"],
            &sent,
        )
        .await;
    assert!(cat.status.success(), "{}", text(&cat.stderr));
    assert!(cat.stdout == sent, "{} bytes came back", cat.stdout.len());
}

#[test]
fn port_forward() {
    if version().is_none() {
        return;
    }
    with_pod(async |place| {
        place.start(ECHO).await;
        within("the server listens", async {
            while place.pause.tcp(7007).await.is_err() {}
        })
        .await;
        for websockets in WEBSOCKETS {
            tokio::task::block_in_place(|| exchange_several(place, websockets));
        }
    });
}

fn exchange_several(place: &Place, websockets: bool) {
    let mut command = place.kubectl(websockets);
    command.args(["port-forward", POD, ":7007"]);
    Forwarded::by(&mut command).echoes(&bytes(1 << 20), 4);
}
