//! logs, exec, attach and port-forward of pods in a lab, with podnet's own verbs.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::forwarded::{Forwarded, bytes};
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
    let sent = bytes(10 << 20);
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

    forwarded(&place, 7007).echoes(&sent[..1 << 20], 3);
    assert_eq!(forwarded(&place, 7008).exchange(b"hello"), b"");
}

fn forwarded(place: &Place, port: u16) -> Forwarded {
    Forwarded::by(&mut place.command(&["port-forward", "web", &format!(":{port}")]))
}

fn piped(place: &Place, arguments: &[&str], input: &[u8]) -> Output {
    fed(place.command(arguments), input)
}

/// What a program says that reads `input`.
pub fn fed(mut command: Command, input: &[u8]) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().expect("it ends")
    })
}
