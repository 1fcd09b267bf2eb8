//! What containers said, as the API answers it.

use std::fmt::Write;
use std::fs;

use futures::{AsyncBufReadExt, TryStreamExt};
use kube::api::LogParams;

use crate::container::{eventually, shell, within};
use crate::place::{POD, with_pod};

#[test]
fn a_log_is_told_in_the_parts_that_are_asked_for() {
    with_pod(async |place| {
        place
            .start("seq 1 100; echo fault >&2; exec sleep 1000")
            .await;
        let whole: String = (1..=100).fold(String::new(), |mut text, n| {
            let _ = writeln!(text, "{n}");
            text
        });
        // Both streams are pumped at once, so their order is not told.
        within("all of it", async {
            while place
                .logs(LogParams::default())
                .await
                .unwrap()
                .lines()
                .count()
                < 101
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let log = place.logs(LogParams::default()).await.unwrap();
        assert_eq!(log.replace("fault\n", ""), whole);
        let tail = LogParams {
            tail_lines: Some(3),
            timestamps: true,
            ..LogParams::default()
        };
        let tail = place.logs(tail).await.unwrap();
        assert_eq!(tail.lines().count(), 3, "{tail}");
        for line in tail.lines() {
            let (time, _) = line.split_once(' ').expect("a time");
            assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        }
        let limited = LogParams {
            limit_bytes: Some(5),
            ..LogParams::default()
        };
        assert_eq!(place.logs(limited).await.unwrap().len(), 5);
        let future = LogParams {
            since_time: Some(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)),
            ..LogParams::default()
        };
        assert_eq!(place.logs(future).await.unwrap(), "");
    });
}

#[test]
fn a_followed_log_ends_with_its_container() {
    with_pod(async |place| {
        place
            .start("echo one; read line; echo two; printf three")
            .await;
        let options = LogParams {
            container: Some("main".into()),
            follow: true,
            ..LogParams::default()
        };
        let mut lines = place.pods.log_stream(POD, &options).await.unwrap().lines();
        let all = async {
            let mut all = Vec::new();
            while let Some(line) = lines.try_next().await.unwrap() {
                all.push(line);
            }
            all
        };
        // Its standard input is /dev/null, so it goes on by itself.
        assert_eq!(within("the log ends", all).await, ["one", "two", "three"]);
    });
}

#[test]
fn a_followed_log_goes_on_where_it_is_rotated() {
    const LINES: u32 = 400_000;
    with_pod(async |place| {
        let script = format!("seq -f '%.0f of a log that is long enough to be rotated' 1 {LINES}");
        place.start(&script).await;
        let options = LogParams {
            container: Some("main".into()),
            follow: true,
            ..LogParams::default()
        };
        let mut lines = place.pods.log_stream(POD, &options).await.unwrap().lines();
        let mut expected = 1;
        within("all lines", async {
            while let Some(line) = lines.try_next().await.unwrap() {
                let number = line.split(' ').next().and_then(|n| n.parse::<u32>().ok());
                assert_eq!(number, Some(expected), "{line}");
                expected += 1;
            }
        })
        .await;
        assert_eq!(expected, LINES + 1);
        let mut rotated = place.log("main", 0).into_os_string();
        rotated.push(".1");
        assert!(fs::exists(rotated).unwrap(), "the log was not rotated");
        let tail = LogParams {
            tail_lines: Some(200_000),
            ..LogParams::default()
        };
        let tail = place.logs(tail).await.unwrap();
        let first = tail.lines().next().unwrap_or_default();
        assert!(first.starts_with("200001 of"), "{first}");
        assert_eq!(tail.lines().count(), 200_000);
    });
}

#[test]
fn the_run_before_has_a_log_of_its_own() {
    with_pod(async |place| {
        place.start("echo first").await;
        let text =
            |name: &str| fs::read_to_string(place.log("main", 0)).is_ok_and(|t| t.contains(name));
        eventually("the first run's log", || text("first").then_some(())).await;
        within("it ends", async {
            let (mut all, mut changes) = place.pause.watch().await.unwrap();
            while all.iter().any(|one| one.ended.is_none()) {
                all = changes.next().await.into_iter().collect();
            }
        })
        .await;
        let mut second = shell("main", "echo second; exec sleep 1000");
        second.attempt = 1;
        second.log = "logs/main/1.log".into();
        place.start_bundle(&second).await;
        let log = place.log("main", 1);
        let said = || fs::read_to_string(&log).is_ok_and(|text| text.contains("second"));
        eventually("the second run's log", || said().then_some(())).await;
        let previous = LogParams {
            previous: true,
            ..LogParams::default()
        };
        assert_eq!(place.logs(previous).await.unwrap(), "first\n");
        assert_eq!(place.logs(LogParams::default()).await.unwrap(), "second\n");
    });
}

#[test]
fn what_cannot_be_answered_is_said() {
    with_pod(async |place| {
        let error = place
            .pods
            .logs(POD, &LogParams::default())
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(
                "a container name must be specified for pod web, choose one of: [main side]"
            ),
            "{text}"
        );
        let of = |container: &str| LogParams {
            container: Some(container.to_owned()),
            ..LogParams::default()
        };
        let text = place.logs(of("nobody")).await.unwrap_err();
        assert!(
            text.contains("container nobody is not valid for pod web"),
            "{text}"
        );
        let text = place.logs(of("side")).await.unwrap_err();
        assert!(text.contains("has no log yet"), "{text}");
        place.node.abort();
        let text = eventually_unreachable(place).await;
        assert!(text.contains("node \"node-1\" cannot be asked"), "{text}");
    });
}

async fn eventually_unreachable(place: &crate::place::Place) -> String {
    within("the node is gone", async {
        loop {
            if let Err(error) = place.logs(LogParams::default()).await
                && error.contains("cannot be asked")
            {
                return error;
            }
        }
    })
    .await
}
