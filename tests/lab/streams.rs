//! logs, exec, attach and port-forward of pods in a lab, with podnet's own verbs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Output, Stdio};

use crate::place::{Place, eventually, text};

/// Says something, and answers on its loopback what it is sent.
const MANIFEST: &str = r#"{
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
        "name": "main", "image": "host", "stdin": true,
        "command": ["python3", "-c", "import socketserver\nclass Echo(socketserver.BaseRequestHandler):\n    def handle(self):\n        while block := self.request.recv(65536):\n            self.request.sendall(block)\nprint('one\\ntwo\\nthree', flush=True)\nsocketserver.ThreadingTCPServer(('127.0.0.1', 7007), Echo).serve_forever()"]
    }]}
}"#;

fn with_pod(place: &Place) {
    place.ok(&["up", "--nodes", "1"]);
    place.create_pod(MANIFEST);
    eventually("the pod speaks", || {
        let logs = place.podnet(&["logs", "web"]);
        text(&logs.stdout).contains("three").then_some(())
    });
}

#[test]
fn what_a_pod_says_is_told_and_what_runs_in_it_is_reached() {
    let place = Place::ordinary();
    with_pod(&place);
    assert_eq!(place.ok(&["logs", "web", "--tail", "2"]), "two\nthree\n");
    let exec = [
        "exec",
        "pod/web",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 7",
    ];
    let ran = place.podnet(&exec);
    assert_eq!(ran.status.code(), Some(7), "{}", text(&ran.stderr));
    assert_eq!(text(&ran.stdout), "out\n");
    assert!(
        text(&ran.stderr).starts_with("err\n"),
        "{}",
        text(&ran.stderr)
    );
    let sent: Vec<u8> = (0..10_u32 << 20)
        .map(|n| (n ^ n >> 8 ^ n >> 16) as u8)
        .collect();
    let cat = piped(&place, &["exec", "-i", "web", "--", "cat"], &sent);
    assert!(cat.status.success(), "{}", text(&cat.stderr));
    assert!(cat.stdout == sent, "{} bytes came back", cat.stdout.len());

    let (_, complaint) = place.refused(&["logs", "nobody"]);
    assert!(
        complaint.contains("pods \"nobody\" not found"),
        "{complaint}"
    );
    let (_, complaint) = place.refused(&["exec", "web", "-c", "x", "--", "ls"]);
    assert!(
        complaint.contains("container x is not valid for pod web"),
        "{complaint}"
    );
    let (_, complaint) = place.refused(&["exec", "web", "--", "no-such-program"]);
    assert!(complaint.contains("no-such-program"), "{complaint}");
    let (_, complaint) = place.refused(&["logs", "web", "--previous"]);
    assert!(
        complaint.contains("previous terminated container"),
        "{complaint}"
    );

    let forward = Forward::to(&place, 7007);
    let sent = &sent[..1 << 20];
    let answers: Vec<bool> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| forward.exchange(sent) == sent))
            .collect();
        all.into_iter()
            .map(|one| one.join().expect("no panic"))
            .collect()
    });
    assert_eq!(answers, [true; 3]);
    assert_eq!(Forward::to(&place, 7008).exchange(b"hello"), b"");
}

fn piped(place: &Place, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = place.command(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("podnet runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().expect("it ends")
    })
}

/// Ends when it is dropped.
struct Forward {
    child: Child,
    port: u16,
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Forward {
    fn to(place: &Place, port: u16) -> Forward {
        let mut command = place.command(&["port-forward", "web", &format!(":{port}")]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("podnet runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let port = line
            .split(" -> ")
            .next()
            .and_then(|from| from.rsplit(':').next()?.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port: {line:?}"));
        Forward { child, port }
    }

    fn exchange(&self, sent: &[u8]) -> Vec<u8> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        let mut received = Vec::new();
        std::thread::scope(|scope| {
            let mut writing = connection.try_clone().expect("a copy");
            scope.spawn(move || {
                // One that is refused is closed meanwhile.
                let _ = writing.write_all(sent);
                let _ = writing.shutdown(Shutdown::Write);
            });
            let _ = connection.read_to_end(&mut received);
        });
        received
    }
}
