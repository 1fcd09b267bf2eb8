//! The same with kubectl, where there is one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use crate::forward::ECHO;
use crate::place::{POD, Place, with_pod, within};

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
        let mut bundle = crate::place::shell(
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
    let sent: Vec<u8> = (0..10_u32 << 20)
        .map(|n| (n ^ n >> 8 ^ n >> 16) as u8)
        .collect();
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

/// Ends when it is dropped.
struct Forward {
    child: Child,
    /// It says more than one line, and ends if it cannot.
    _stdout: BufReader<ChildStdout>,
    port: u16,
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Forward {
    fn to(place: &Place, websockets: bool, port: u16) -> Forward {
        let mut command = place.kubectl(websockets);
        command.args(["port-forward", POD, &format!(":{port}")]);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line).expect("a line");
        let port = line
            .split(" -> ")
            .next()
            .and_then(|from| from.rsplit(':').next()?.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port: {line:?}"));
        Forward {
            child,
            _stdout: stdout,
            port,
        }
    }

    fn exchange(&self, sent: &[u8]) -> Vec<u8> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        let mut received = Vec::new();
        std::thread::scope(|scope| {
            let mut writing = connection.try_clone().expect("a copy");
            scope.spawn(move || {
                let _ = writing.write_all(sent);
                let _ = writing.shutdown(Shutdown::Write);
            });
            let _ = connection.read_to_end(&mut received);
        });
        received
    }
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
    let forward = Forward::to(place, websockets, 7007);
    let sent: Vec<u8> = (0..1_u32 << 20)
        .map(|n| (n ^ n >> 8 ^ n >> 16) as u8)
        .collect();
    let several: Vec<bool> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| forward.exchange(&sent) == sent))
            .collect();
        all.into_iter()
            .map(|one| one.join().expect("no panic"))
            .collect()
    });
    assert_eq!(several, [true; 4]);
}
