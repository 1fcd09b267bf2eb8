//! Clients that take their time, and requests that are too much.

use std::future::Future;
use std::time::Duration;

use podnet::server::Limits;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::lab::Lab;
use crate::raw::{tcp, tls, until_the_end};

const SOON: Duration = Duration::from_millis(200);
/// Far more than it takes; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("never: {what}"))
}

#[tokio::test]
async fn a_handshake_that_does_not_begin_is_not_waited_for() {
    let lab = Lab::start_with(Limits {
        handshake: SOON,
        ..Limits::default()
    })
    .await;
    let silent = tcp(&lab).await;
    assert_eq!(
        in_time("the connection ends", until_the_end(silent)).await,
        ""
    );
}

#[tokio::test]
async fn a_request_that_does_not_come_is_not_waited_for() {
    let lab = Lab::start_with(Limits {
        head: SOON,
        ..Limits::default()
    })
    .await;
    for (protocol, begun) in [
        ("http/1.1", ""),
        ("http/1.1", "GET /readyz HTTP/1.1\r\nHost: x"),
        ("h2", ""),
        ("h2", "PRI * HTTP/2.0"),
    ] {
        let mut stream = tls(&lab, protocol).await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        in_time(&format!("{protocol} {begun:?} ends"), until_the_end(stream)).await;
    }
}

#[tokio::test]
async fn a_body_that_trickles_is_not_waited_for() {
    let lab = Lab::start_with(Limits {
        request: SOON,
        ..Limits::default()
    })
    .await;
    let mut stream = tls(&lab, "http/1.1").await;
    let head = "POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = in_time("it is refused", until_the_end(stream)).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(
        answer.contains("Timeout: request did not complete within the allotted timeout"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let lab = Lab::start().await;
    let mut stream = tls(&lab, "http/1.1").await;
    let mut head = "GET /readyz HTTP/1.1\r\nHost: x\r\nX-Long: ".to_owned();
    // As much as the server reads: what it leaves unread would cut its answer off.
    head.extend(std::iter::repeat_n('x', (128 << 10) - head.len()));
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = in_time("it is refused", until_the_end(stream)).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");

    let (mut client, connection) = h2::client::handshake(tls(&lab, "h2").await).await.unwrap();
    tokio::spawn(connection);
    let mut request = hyper::Request::get("https://127.0.0.1/readyz");
    // h2 sends no value that is larger than a frame; together they are too much.
    for index in 0..6 {
        request = request.header(format!("x-long-{index}"), "x".repeat(12 << 10));
    }
    let (answer, _) = client
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    let answer = in_time("it is refused", answer).await.unwrap();
    assert_eq!(answer.status(), 431);
    let (code, _) = lab.send("GET", "/readyz", Value::Null).await;
    assert_eq!(code, 200, "others are served");
}

#[tokio::test]
async fn a_watch_too_many_is_429_until_another_ends() {
    let lab = Lab::start_with(Limits {
        watches: 2,
        ..Limits::default()
    })
    .await;
    // The server's own watches are not among them.
    let watch = "/api/v1/namespaces?watch=1";
    let first = lab.respond("GET", watch, Value::Null).await;
    let _second = lab.respond("GET", watch, Value::Null).await;
    let third = lab.respond("GET", watch, Value::Null).await;
    assert_eq!(third.status(), 429);
    assert_eq!(third.headers()["retry-after"], "1");
    let (_, status) = lab.send("GET", watch, Value::Null).await;
    assert_eq!(status["reason"], "TooManyRequests");
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    drop(first);
    crate::lab::eventually("a place is free again", async || {
        let response = lab.respond("GET", watch, Value::Null).await;
        (response.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413() {
    let lab = Lab::start().await;
    let large = Value::String("x".repeat(4 << 20));
    let (code, status) = lab.send("POST", "/api/v1/namespaces", large).await;
    assert_eq!(code, 413);
    assert_eq!(
        status["message"],
        "Request entity too large: limit is 3145728"
    );
}
