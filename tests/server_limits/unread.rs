//! Watches that nobody reads.

use std::time::Duration;

use futures::future::poll_fn;
use podnet::server::Limits;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

use crate::lab::Lab;
use crate::raw::{tls, until_the_end};

const CONFIG: &str = "/api/v1/namespaces/default/configmaps/large";
const WATCH: &str = "/api/v1/configmaps?watch=1";
const LARGE_BYTES: usize = 256 << 10;
/// Far more writes than it takes; reaching it is a failure.
const ENOUGH: usize = 2_000;

async fn start(stalled: Duration) -> Lab {
    let lab = Lab::start_with(Limits {
        stalled,
        ..Limits::default()
    })
    .await;
    let object = json!({"metadata": {"name": "large"}, "data": {"a": ""}});
    let path = CONFIG.rsplit_once('/').unwrap().0;
    let (code, _) = lab.send("POST", path, object).await;
    assert_eq!(code, 201);
    lab
}

/// Changes what is watched, by a quarter of a megabyte.
async fn change(lab: &Lab, round: usize) {
    let data = format!("{round}{}", "x".repeat(LARGE_BYTES));
    let patch = json!({"data": {"a": data}});
    let (code, _) = lab
        .send_as("PATCH", CONFIG, "application/merge-patch+json", patch)
        .await;
    assert_eq!(code, 200);
}

fn sample(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

async fn resident_bytes(lab: &Lab) -> f64 {
    sample(&lab.metrics().await, "process_resident_memory_bytes")
}

async fn watches(lab: &Lab) -> f64 {
    sample(
        &lab.metrics().await,
        "apiserver_longrunning_requests{component=\"apiserver\",group=\"\",resource=\"configmaps\",\
         scope=\"cluster\",verb=\"WATCH\",version=\"v1\"}",
    )
}

/// A watch that has begun, and that is not read any further.
async fn unread(lab: &Lab) -> TlsStream<tokio::net::TcpStream> {
    let mut stream = tls(lab, "http/1.1").await;
    let head = format!("GET {WATCH} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut begun = vec![0; 1 << 10];
    let read = stream.read(&mut begun).await.unwrap();
    assert!(begun[..read].starts_with(b"HTTP/1.1 200"));
    stream
}

/// Changes things until no watch is left.
async fn until_dropped(lab: &Lab) {
    for round in 0..ENOUGH {
        change(lab, round).await;
        if watches(lab).await == 0.0 {
            return;
        }
    }
    panic!("the watch is still there after {ENOUGH} changes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_are_not_read_cost_no_memory() {
    const WATCHES: usize = 8;
    const CHANGES: usize = 400;
    let lab = start(Duration::from_secs(3_600)).await;
    let mut streams = Vec::new();
    for _ in 0..WATCHES {
        streams.push(unread(&lab).await);
    }
    change(&lab, 0).await;
    let before = resident_bytes(&lab).await;
    let mut most = before;
    for round in 0..CHANGES {
        change(&lab, round).await;
        if round % 20 == 0 {
            most = most.max(resident_bytes(&lab).await);
        }
    }
    // What they have not read is 8 × 100 MB. The store's history may have 32 MB, the kernel has
    // some of it, and there is a client in this process, too.
    let grown = (most - before) / f64::from(1 << 20);
    assert!(grown < 160.0, "{grown} MiB more for {WATCHES} watches");
    assert_eq!(watches(&lab).await, WATCHES as f64);
    // One that reads on finds that it has missed something, and the watch ends.
    let mut late = streams.pop().unwrap();
    let told = until_the_last_chunk(&mut late).await;
    assert!(told.contains("\"type\":\"ERROR\""), "{} bytes", told.len());
    assert!(told.contains("\"code\":410"), "{} bytes", told.len());
}

/// Of a chunked answer on a connection that stays open.
async fn until_the_last_chunk(stream: &mut TlsStream<tokio::net::TcpStream>) -> String {
    let mut all = Vec::new();
    while !all.ends_with(b"\r\n0\r\n\r\n") {
        let mut piece = vec![0; 64 << 10];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the connection ended");
        all.extend_from_slice(&piece[..read]);
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_not_read_is_dropped() {
    let lab = start(Duration::from_millis(500)).await;
    let stream = unread(&lab).await;
    until_dropped(&lab).await;
    let told = until_the_end(stream).await;
    assert!(!told.ends_with("0\r\n\r\n"), "it was cut off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_window_stays_shut_is_dropped_and_no_other() {
    let lab = start(Duration::from_millis(500)).await;
    let (mut client, connection) = h2::client::Builder::new()
        .initial_window_size(16 << 10)
        .initial_connection_window_size(16 << 20)
        .handshake::<_, hyper::body::Bytes>(tls(&lab, "h2").await)
        .await
        .unwrap();
    // Everything is read from the connection, all the time.
    tokio::spawn(connection);
    let get = |path: &str| {
        let uri = format!("https://127.0.0.1{path}");
        hyper::Request::get(uri).body(()).unwrap()
    };
    let (answer, _) = client.send_request(get(WATCH), true).unwrap();
    let mut shut = answer.await.unwrap().into_body();
    // Another that has nothing to say stays.
    let (answer, _) = client
        .send_request(get("/api/v1/nodes?watch=1"), true)
        .unwrap();
    let mut quiet = answer.await.unwrap().into_body();
    until_dropped(&lab).await;
    let mut taken = 0;
    let reset = loop {
        match shut.data().await {
            Some(Ok(data)) => taken += data.len(),
            Some(Err(error)) => break error,
            None => panic!("it ended in an orderly way"),
        }
    };
    assert!(reset.is_reset(), "{reset}");
    assert!(
        taken <= 16 << 10,
        "{taken} bytes went through a shut window"
    );

    let (answer, _) = client.send_request(get("/readyz"), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let node = json!({"metadata": {"name": "node-1"}});
    lab.send("POST", "/api/v1/nodes", node).await;
    let line = quiet.data().await.unwrap().unwrap();
    let event: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(event["object"]["metadata"]["name"], "node-1");
    poll_fn(|cx| client.poll_ready(cx)).await.unwrap();
}
