//! exec and attach from a terminal, which util-linux' script(1) makes.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use crate::place::{Place, eventually, text};

/// Says what it reads, and the size of its terminal when that changes.
const MANIFEST: &str = r#"{
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
    "spec": {"terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "containers": [{
        "name": "main", "image": "host", "stdin": true, "tty": true,
        "command": ["bash", "-c", "trap 'stty size' WINCH; while :; do read -t 0.1 -r line && echo got $line && test $line = end && exit 6; done"]
    }]}
}"#;

/// `podnet` with these words, in a terminal of 33 rows and 99 columns.
fn in_terminal(place: &Place, arguments: &str) -> Child {
    let podnet = env!("CARGO_BIN_EXE_podnet");
    let line = format!("stty rows 33 cols 99; exec {podnet} {arguments}");
    let mut command = Command::new("script");
    command
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .env("PODNET_STATE_DIR", place.root())
        .env("SHELL", "/bin/sh")
        .env_remove("PODNET_LAB")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command.spawn().expect("script runs")
}

/// All that it says until it has said `what`, and a little more.
fn until(child: &mut Child, what: &str) -> String {
    let stdout = child.stdout.as_mut().expect("a pipe");
    let mut said = Vec::new();
    while !text(&said).contains(what) {
        let mut block = [0; 256];
        let count = stdout.read(&mut block).expect("read");
        assert!(count > 0, "it ended without {what:?}: {}", text(&said));
        said.extend_from_slice(&block[..count]);
    }
    text(&said)
}

fn type_in(child: &mut Child, keys: &str) {
    let stdin = child.stdin.as_mut().expect("a pipe");
    stdin.write_all(keys.as_bytes()).expect("typed");
}

#[test]
fn a_terminal_here_is_a_terminal_there() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "1"]);
    place.create_pod(MANIFEST);
    eventually("the pod runs", || {
        let ran = place.podnet(&["exec", "web", "--", "true"]);
        ran.status.success().then_some(())
    });

    let script = "tty; until test \"$(stty size)\" = \"33 99\"; do :; done; read -r key; echo key $key; exit 5";
    let mut exec = in_terminal(&place, &format!("exec -it web -- sh -c '{script}'"));
    until(&mut exec, "/dev/pts/");
    type_in(&mut exec, "enter\r");
    until(&mut exec, "key enter\r\n");
    assert_eq!(exec.wait().expect("it ends").code(), Some(5));

    // A key that means the end of a program is the program's there, not podnet's.
    let mut exec = in_terminal(
        &place,
        "exec -it web -- sh -c 'trap \"echo caught; exit 4\" INT; echo ready; while :; do sleep 0.05; done'",
    );
    until(&mut exec, "ready");
    type_in(&mut exec, "\x03");
    until(&mut exec, "caught");
    assert_eq!(exec.wait().expect("it ends").code(), Some(4));

    let mut attach = in_terminal(&place, "attach -it web");
    until(&mut attach, "33 99");
    type_in(&mut attach, "hello\r");
    until(&mut attach, "got hello\r\n");
    type_in(&mut attach, "end\r");
    until(&mut attach, "got end\r\n");
    let ended = attach.wait().expect("it ends");
    assert_eq!(ended.code(), Some(0), "kubectl attach tells no exit code");

    let mut run = in_terminal(
        &place,
        "run -it --rm once --image=host --restart=Never --command -- sh -c 'read -r key; echo key $key; exit 5'",
    );
    until(&mut run, "try pressing enter");
    type_in(&mut run, "home\r");
    until(&mut run, "key home\r\n");
    until(&mut run, "pod \"once\" deleted");
    assert_eq!(run.wait().expect("it ends").code(), Some(5));
}
