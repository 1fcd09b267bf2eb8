//! A container's life: it starts, says something, ends.

use podnet::pod::protocol::Refusal;

use crate::container::shell;
use crate::place::with_pod;

#[test]
fn what_it_says_is_logged_line_by_line() {
    with_pod(async |pod| {
        let script = "echo one; echo two >&2; printf three";
        assert_eq!(pod.run(&shell("a", script)).await.0, 0);
        let log = std::fs::read_to_string(pod.log("a")).expect("a log");
        let mut lines: Vec<&str> = log
            .lines()
            .map(|line| {
                let (time, rest) = line.split_once(' ').expect("a time");
                assert_eq!(time.len(), "2024-01-01T00:00:00.000000000Z".len());
                rest
            })
            .collect();
        lines.sort_unstable();
        assert_eq!(lines, ["stderr F two", "stdout F one", "stdout P three"]);
    });
}

#[test]
fn how_it_ends_is_told() {
    with_pod(async |pod| {
        pod.start(&shell("a", "exit 7")).await;
        let ended = pod.ended("a").await;
        assert_eq!((ended.exit_code, ended.signal), (7, None));

        pod.start(&shell("b", "sleep 600")).await;
        let again = pod.pause.start(&shell("b", "true")).await;
        let again = again.expect_err("two of one name");
        assert_eq!(again.refusal(), Some(Refusal::Running));
        pod.pause.signal("b", 9).await.expect("killed");
        let ended = pod.ended("b").await;
        assert_eq!((ended.exit_code, ended.signal), (137, Some(9)));
        let gone = pod.pause.signal("b", 9).await.expect_err("it has ended");
        assert_eq!(gone.refusal(), Some(Refusal::NotRunning));
    });
}

#[test]
fn a_program_that_is_not_there_is_said_as_such() {
    with_pod(async |pod| {
        let mut bundle = shell("a", "");
        for (program, why) in [
            (
                "nosuch",
                r#"exec: "nosuch": executable file not found in $PATH"#,
            ),
            ("/no/such", r#"exec: "/no/such": no such file or directory"#),
            ("/etc/passwd", r#"exec: "/etc/passwd": permission denied"#),
        ] {
            bundle.process.argv = vec![program.to_owned()];
            let error = pod.pause.start(&bundle).await.expect_err(program);
            assert_eq!(error.refusal(), Some(Refusal::NoSuchProgram), "{error}");
            assert_eq!(error.to_string(), why);
        }
        // And the name is free.
        assert_eq!(
            pod.run(&shell("a", "echo ok")).await,
            (0, "ok\n".to_owned())
        );
    });
}

#[test]
fn more_than_a_request_holds_is_said_as_such() {
    with_pod(async |pod| {
        let mut bundle = shell("a", "echo ok");
        bundle
            .process
            .env
            .push(format!("BIG={}", "x".repeat(1 << 20)));
        let error = pod.pause.start(&bundle).await.expect_err("too much");
        assert_eq!(error.refusal(), Some(Refusal::Failed), "{error}");
        assert!(error.to_string().contains("is the limit"), "{error}");
    });
}
