//! Programs that are run in a container, and containers that are attached to.

use futures::SinkExt;
use kube::api::{AttachParams, TerminalSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::container::{eventually, shell, within};
use crate::forwarded::bytes;
use crate::place::{POD, exit_code, with_pod};

#[test]
fn a_program_is_run_and_its_end_told() {
    with_pod(async |place| {
        place.start("exec sleep 1000").await;
        let (out, err, code) = place.run("echo out; echo err >&2; hostname; exit 3").await;
        assert_eq!(
            (out.as_str(), err.as_str(), code),
            ("out\nweb\n", "err\n", 3)
        );
        let (out, _, code) = place.run("kill -9 $$").await;
        assert_eq!((out.as_str(), code), ("", 137));
        // What it leaves behind holds its output open, and nobody up.
        let (out, _, code) = place.run("sleep 1000 & echo gone").await;
        assert_eq!((out.as_str(), code), ("gone\n", 0));
    });
}

#[test]
fn a_program_that_is_not_there_is_named() {
    with_pod(async |place| {
        place.start("exec sleep 1000").await;
        let mut process = place
            .exec(&["no-such-program"], AttachParams::default())
            .await;
        let status = within("an answer", process.take_status().unwrap())
            .await
            .unwrap();
        let message = status.message.unwrap_or_default();
        assert!(message.contains("no-such-program"), "{message}");
        let side = AttachParams::default().container("side");
        let error = place
            .pods
            .exec(POD, ["ls"], &side)
            .await
            .err()
            .expect("it does not run")
            .to_string();
        assert!(error.contains("400"), "{error}");
    });
}

#[test]
fn ten_megabytes_go_through_a_program_unchanged() {
    with_pod(async |place| {
        place.start("exec sleep 1000").await;
        let params = AttachParams::default().stdin(true).stderr(false);
        let mut process = place.exec(&["cat"], params).await;
        let (mut stdin, mut stdout) = (process.stdin().unwrap(), process.stdout().unwrap());
        let status = process.take_status().unwrap();
        let sent = bytes(10 << 20);
        let mut received = Vec::new();
        let status = within("it ends", async {
            let write = async {
                stdin.write_all(&sent).await.unwrap();
                stdin.shutdown().await.unwrap();
            };
            let ((), read, status) = tokio::join!(write, stdout.read_to_end(&mut received), status);
            read.unwrap();
            status.unwrap()
        })
        .await;
        assert!(received == sent, "{} bytes came back", received.len());
        assert_eq!(exit_code(&status), 0);
    });
}

#[test]
fn a_terminal_has_the_size_of_the_clients() {
    with_pod(async |place| {
        place.start("exec sleep 1000").await;
        let params = AttachParams::interactive_tty();
        let script =
            "trap 'stty size; exit 4' WINCH; tty; echo ready; while :; do sleep 0.01; done";
        let mut process = place.exec(&["sh", "-c", script], params).await;
        let mut stdout = process.stdout().unwrap();
        let mut size = process.terminal_size().unwrap();
        let status = process.take_status().unwrap();
        let mut said = String::new();
        let mut until = async |what: &str| {
            within(what, async {
                while !said.contains(what) {
                    let mut block = [0; 256];
                    let count = stdout.read(&mut block).await.unwrap();
                    assert!(count > 0, "{said}");
                    said.push_str(&String::from_utf8_lossy(&block[..count]));
                }
            })
            .await;
        };
        until("ready").await;
        let (width, height) = (123, 45);
        size.send(TerminalSize { width, height }).await.unwrap();
        until("45 123").await;
        let status = within("it ends", status).await.unwrap();
        assert_eq!(exit_code(&status), 4);
        assert!(said.contains("/dev/pts/"), "{said}");
    });
}

#[test]
fn a_program_ends_when_its_client_goes() {
    with_pod(async |place| {
        place.start("exec sleep 1000").await;
        let params = AttachParams::default().stdin(true);
        let mut process = place
            .exec(&["sh", "-c", "echo $$; exec sleep 1001"], params)
            .await;
        let mut pid = [0; 16];
        let mut stdout = process.stdout().unwrap();
        let count = within("it runs", stdout.read(&mut pid)).await.unwrap();
        let pid = String::from_utf8_lossy(&pid[..count]).trim().to_owned();
        let alive = format!("test -d /proc/{pid} && echo alive");
        assert_eq!(place.run(&alive).await.0, "alive\n");
        process.abort();
        drop((process, stdout));
        within("it is gone", async {
            while place.run(&alive).await.0 == "alive\n" {}
        })
        .await;
    });
}

#[test]
fn who_attaches_talks_with_the_container() {
    with_pod(async |place| {
        let mut bundle = shell(
            "main",
            "while read line; do echo \"said $line\"; done; exit 0",
        );
        bundle.streams.stdin = true;
        bundle.streams.stdin_once = true;
        place.start_bundle(&bundle).await;
        let params = AttachParams::default().stdin(true).container("main");
        let mut process = place.pods.attach(POD, &params).await.unwrap();
        let (mut stdin, mut stdout) = (process.stdin().unwrap(), process.stdout().unwrap());
        stdin.write_all(b"a\nb\n").await.unwrap();
        stdin.shutdown().await.unwrap();
        let mut said = String::new();
        within("it ends", stdout.read_to_string(&mut said))
            .await
            .unwrap();
        assert_eq!(said, "said a\nsaid b\n");
        let log = place.log("main", 0);
        let logged = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("said b"));
        eventually("it is in the log too", || logged().then_some(())).await;
    });
}
