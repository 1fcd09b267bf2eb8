//! Watches: from where they start, what they show, how they end.

use std::pin::pin;

use futures::{AsyncBufRead, AsyncBufReadExt, Stream, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::lab::{Lab, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";

/// The events of a watch.
async fn watch(lab: &Lab, query: &str) -> impl Stream<Item = Value> + use<> {
    let request = hyper::Request::get(format!("{PODS}?watch=1&{query}"))
        .body(Vec::new())
        .unwrap();
    let lines: Box<dyn AsyncBufRead + Send + Unpin> =
        Box::new(lab.client.request_stream(request).await.unwrap());
    lines
        .lines()
        .map_ok(|line| serde_json::from_str(&line).unwrap())
        .map(Result::unwrap)
}

fn show(event: &Value) -> String {
    let name = event["object"]["metadata"]["name"].as_str().unwrap_or("-");
    format!("{} {name}", event["type"].as_str().unwrap())
}

fn revision(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

fn labelled(name: &str, app: &str) -> Value {
    let mut pod = pod(name);
    pod["metadata"]["labels"] = json!({"app": app});
    pod
}

#[tokio::test]
async fn a_watch_goes_on_from_the_version_it_is_given() {
    let lab = Lab::start().await;
    let (_, a) = lab.send("POST", PODS, pod("a")).await;
    lab.send("POST", PODS, pod("b")).await;
    let query = format!("resourceVersion={}", revision(&a));
    let mut events = pin!(watch(&lab, &query).await);
    assert_eq!(show(&events.next().await.unwrap()), "ADDED b");
    lab.send("DELETE", &format!("{PODS}/a"), Value::Null).await;
    let gone = events.next().await.unwrap();
    assert_eq!(show(&gone), "DELETED a");
    let number = |object| revision(object).parse::<u64>().unwrap();
    assert!(number(&gone["object"]) > number(&a));
}

#[tokio::test]
async fn a_watch_without_a_version_starts_with_what_there_is() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("a")).await;
    for query in [
        "",
        "resourceVersion=0",
        "timeoutSeconds=18446744073709551615",
    ] {
        let mut events = pin!(watch(&lab, query).await);
        assert_eq!(show(&events.next().await.unwrap()), "ADDED a", "{query}");
    }
    let mut events = pin!(
        watch(
            &lab,
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        )
        .await
    );
    assert_eq!(show(&events.next().await.unwrap()), "ADDED a");
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(
        bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
}

#[tokio::test]
async fn objects_enter_and_leave_a_selector() {
    let lab = Lab::start().await;
    let mut events = pin!(watch(&lab, "labelSelector=app%3Dweb").await);
    let patch = async |name: &str, app: &str| {
        let patch = json!({"metadata": {"labels": {"app": app}}});
        let path = format!("{PODS}/{name}");
        lab.send_as("PATCH", &path, "application/merge-patch+json", patch)
            .await
            .1
    };
    lab.send("POST", PODS, labelled("a", "db")).await;
    patch("a", "web").await;
    lab.send("POST", PODS, labelled("b", "web")).await;
    let left = patch("a", "db").await;
    assert_eq!(show(&events.next().await.unwrap()), "ADDED a");
    assert_eq!(show(&events.next().await.unwrap()), "ADDED b");
    let last = events.next().await.unwrap();
    assert_eq!(show(&last), "DELETED a");
    assert_eq!(
        last["object"]["metadata"]["labels"]["app"], "web",
        "as it last matched"
    );
    assert_eq!(revision(&last["object"]), revision(&left));
}

#[tokio::test]
async fn a_field_selector_is_entered_and_left_too() {
    let lab = Lab::start().await;
    let mut events = pin!(
        watch(
            &lab,
            "fieldSelector=spec.nodeName%3Dnode-1,status.phase!%3DFailed"
        )
        .await
    );
    lab.send("POST", PODS, pod("a")).await;
    let to = json!({"target": {"kind": "Node", "name": "node-1"}});
    lab.send("POST", &format!("{PODS}/a/binding"), to).await;
    let phase = async |phase: &str| {
        let status = json!({"status": {"phase": phase}});
        let path = format!("{PODS}/a/status");
        lab.send_as("PATCH", &path, "application/merge-patch+json", status)
            .await;
    };
    phase("Running").await;
    phase("Failed").await;
    for expected in ["ADDED a", "MODIFIED a", "DELETED a"] {
        assert_eq!(show(&events.next().await.unwrap()), expected);
    }
}

#[tokio::test]
async fn initial_events_can_be_left_out() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("a")).await;
    let query = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0";
    let mut events = pin!(watch(&lab, query).await);
    lab.send("POST", PODS, pod("b")).await;
    assert_eq!(show(&events.next().await.unwrap()), "ADDED b");
}

#[tokio::test]
async fn a_version_that_is_forgotten_is_gone() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("a")).await;
    let lab = lab.restart().await;
    // Written since: the old version is no longer the present one.
    lab.send("POST", PODS, pod("b")).await;
    for version in ["1", "999999"] {
        let mut events = watch(&lab, &format!("resourceVersion={version}")).await;
        let event = events.next().await.unwrap();
        assert_eq!(event["type"], "ERROR", "{version}");
        assert_eq!(event["object"]["code"], 410, "{version}");
        assert_eq!(event["object"]["reason"], "Expired", "{version}");
        assert!(events.next().await.is_none(), "{version}");
    }
}

#[tokio::test]
async fn a_watch_ends_when_it_was_told_to() {
    let lab = Lab::start().await;
    let events = watch(&lab, "timeoutSeconds=1").await;
    assert_eq!(events.count().await, 0);
}

#[tokio::test]
async fn a_watch_of_tables_shows_rows() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("a")).await;
    let request = hyper::Request::get(format!("{PODS}?watch=1"))
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .unwrap();
    let mut lines = lab.client.request_stream(request).await.unwrap().lines();
    let line = lines.next().await.unwrap().unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["object"]["kind"], "Table");
    assert_eq!(event["object"]["rows"][0]["cells"][0], "a");
}
