//! Programs in running containers, listening to them, and reaching their ports.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use podnet::pod::Stdio;
use podnet::pod::bundle::{PidNamespace, Streams};
use podnet::pod::protocol::Refusal;
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::AsyncReadExt;

use crate::container::{shell, within};
use crate::place::{Place, with_pod};

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe")
}

fn null() -> OwnedFd {
    File::open("/dev/null").expect("/dev/null").into()
}

fn words(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

async fn read_all(from: OwnedFd) -> String {
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        // The end of a terminal is an error.
        let _ = File::from(from).read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    within("the output ends", reading).await.expect("read")
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Its exit code and output.
pub async fn exec(pod: &Place, container: &str, script: &str) -> (i32, String) {
    let (ours, theirs) = pipe();
    let stdin = null();
    let stdio = Stdio::Descriptors([stdin.as_fd(), theirs.as_fd(), theirs.as_fd()]);
    let exec = pod.pause.exec(container, &words(script), stdio).await;
    let exec = exec.expect("it runs");
    drop(theirs);
    let said = read_all(ours).await;
    let ended = within("it ends", exec.ended()).await.expect("ended");
    (ended.exit_code, said)
}

#[test]
fn a_program_joins_its_container() {
    for pids in [PidNamespace::Own, PidNamespace::Pod] {
        with_pod(async move |pod| {
            let mut bundle = shell("a", "echo here > /etc/mark; echo up; exec sleep 600");
            bundle.pids = pids;
            bundle.process.env.push("COLOUR=green".to_owned());
            bundle.process.cwd = "/var/new".into();
            pod.start(&bundle).await;
            pod.says("a", "up").await;
            let first = match pids {
                PidNamespace::Own => "sleep",
                PidNamespace::Pod => "podnet-pause",
            };
            let script = "cat /etc/mark; pwd; echo $COLOUR; cat /proc/1/comm; exit 9";
            let said = format!("here\n/var/new\ngreen\n{first}\n");
            assert_eq!(exec(pod, "a", script).await, (9, said));
            let limits = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status";
            let own = exec(pod, "a", &limits.replace("self", "1")).await.1;
            if pids == PidNamespace::Own {
                assert_eq!(exec(pod, "a", limits).await.1, own);
            }
            let stdin = null();
            let stdio = Stdio::Descriptors([stdin.as_fd(), stdin.as_fd(), stdin.as_fd()]);
            let error = pod.pause.exec("a", &["nosuch".to_owned()], stdio).await;
            let error = error.expect_err("not there");
            assert_eq!(error.refusal(), Some(Refusal::NoSuchProgram), "{error}");
            let error = pod.pause.exec("b", &words("true"), Stdio::Terminal).await;
            assert_eq!(
                error.expect_err("none").refusal(),
                Some(Refusal::NotRunning)
            );
        });
    }
}

#[test]
fn a_program_nobody_waits_for_is_killed() {
    with_pod(async |pod| {
        pod.start(&shell("a", "exec sleep 600")).await;
        let (ours, theirs) = pipe();
        let stdin = null();
        let stdio = Stdio::Descriptors([stdin.as_fd(), theirs.as_fd(), theirs.as_fd()]);
        let exec = pod
            .pause
            .exec("a", &words("sleep 601 | sleep 602"), stdio)
            .await;
        drop(theirs);
        drop(exec.expect("it runs"));
        // The end of its output is the end of all that had it.
        assert_eq!(read_all(ours).await, "");
    });
}

#[test]
fn a_terminal_has_a_size_and_a_name() {
    with_pod(async |pod| {
        pod.start(&shell("a", "exec sleep 600")).await;
        let script = "tty; read line; stty size; echo $TERM; kill -INT $$";
        let exec = pod.pause.exec("a", &words(script), Stdio::Terminal).await;
        let mut exec = exec.expect("it runs");
        let terminal = exec.terminal.take().expect("a terminal");
        tcsetwinsize(&terminal, size(33, 77)).expect("resized");
        let mut typing = File::from(terminal.try_clone().expect("a copy"));
        typing.write_all(b"go\n").expect("typed");
        let said = read_all(terminal).await;
        for part in ["/dev/pts/", "33 77", "xterm"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let ended = within("it ends", exec.ended()).await.expect("ended");
        assert_eq!((ended.exit_code, ended.signal), (130, Some(2)));
    });
}

#[test]
fn who_attaches_hears_and_types() {
    with_pod(async |pod| {
        let mut bundle = shell("a", "read line; echo got $line; echo err >&2; cat; exit 4");
        bundle.streams = Streams {
            stdin: true,
            stdin_once: true,
            tty: false,
        };
        pod.start(&bundle).await;
        let (typed, typing) = pipe();
        let ((out, to_out), (err, to_err)) = (pipe(), pipe());
        let outputs = [to_out.as_fd(), to_err.as_fd()];
        let attached = pod.pause.attach("a", Some(typed.as_fd()), &outputs).await;
        let attached = attached.expect("attached");
        drop((typed, to_out, to_err));
        File::from(typing).write_all(b"one\nmore\n").expect("typed");
        // The end of the input is the end of cat.
        let ended = within("it ends", attached.ended()).await.expect("ended");
        assert_eq!(ended.exit_code, 4);
        assert_eq!(read_all(out).await, "got one\nmore\n");
        assert_eq!(read_all(err).await, "err\n");
        assert_eq!(pod.said("a").lines().count(), 3);
    });
}

#[test]
fn a_terminal_of_a_containers_own_is_logged_and_attached_to() {
    with_pod(async |pod| {
        let mut bundle = shell("a", "tty; read line; stty size; echo bye");
        bundle.streams = Streams {
            stdin: true,
            stdin_once: false,
            tty: true,
        };
        pod.start(&bundle).await;
        pod.says("a", "/dev/pts/0").await;
        let ((typed, typing), (out, to_out)) = (pipe(), pipe());
        let attached = pod
            .pause
            .attach("a", Some(typed.as_fd()), &[to_out.as_fd()])
            .await;
        let attached = attached.expect("attached");
        drop((typed, to_out));
        let terminal = attached.terminal.as_ref().expect("a terminal");
        tcsetwinsize(terminal, size(12, 34)).expect("resized");
        File::from(typing).write_all(b"\n").expect("typed");
        let ended = within("it ends", attached.ended()).await.expect("ended");
        assert_eq!(ended.exit_code, 0);
        let heard = read_all(out).await;
        assert!(heard.contains("12 34\r\nbye"), "{heard:?}");
    });
}

#[test]
fn one_who_does_not_listen_holds_up_only_what_he_attached_to() {
    with_pod(async |pod| {
        pod.start(&shell("b", "sleep 600")).await;
        let script = "until [ -e /dev/shm/go ]; do sleep 0.01; done
            yes 'a line of some length' | head -c 3000000; echo end";
        pod.start(&shell("a", script)).await;
        let ((deaf, to_deaf), (_err, to_err)) = (pipe(), pipe());
        let outputs = [to_deaf.as_fd(), to_err.as_fd()];
        let attached = pod
            .pause
            .attach("a", None, &outputs)
            .await
            .expect("attached");
        drop((to_deaf, to_err));
        exec(pod, "b", "touch /dev/shm/go").await;
        // The pod answers all the time.
        assert_eq!(
            exec(pod, "b", "echo alive").await,
            (0, "alive\n".to_owned())
        );
        let said = read_all(deaf).await;
        assert_eq!(said.len(), 3_000_000 + 4);
        within("it ends", attached.ended()).await.expect("ended");
    });
}

#[test]
fn ports_bound_to_loopback_are_reached() {
    with_pod(async |pod| {
        let refused = pod.pause.tcp(8080).await.expect_err("nobody listens");
        assert_eq!(refused.refusal(), Some(Refusal::ConnectionRefused));
        for (name, port, address) in [("four", 8080, "127.0.0.1"), ("six", 8081, "::1")] {
            let script = format!(
                r#"exec perl -MIO::Socket::IP -e '$| = 1;
                $s = IO::Socket::IP->new(LocalHost => "{address}", LocalPort => {port}, Listen => 9)
                    or die "bind: $!\n";
                print "listening\n"; $c = $s->accept; print $c "hello {name}\n";'"#
            );
            pod.start(&shell(name, &script)).await;
            pod.says(name, "listening").await;
            let mut connection = pod.pause.tcp(port).await.expect("connected");
            let mut said = String::new();
            let reading = connection.read_to_string(&mut said);
            within("it answers", reading).await.expect("read");
            assert_eq!(said, format!("hello {name}\n"));
        }
    });
}
