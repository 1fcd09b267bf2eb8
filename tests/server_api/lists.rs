//! Lists: in pages, and as they were.

use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::lab::{Lab, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn list(lab: &Lab, query: &str) -> (u16, Value) {
    lab.send("GET", &format!("{PODS}?{query}"), Value::Null)
        .await
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

fn text<'a>(list: &'a Value, field: &str) -> &'a str {
    list["metadata"][field].as_str().unwrap_or("")
}

#[tokio::test]
async fn the_pages_of_a_list_are_of_one_moment() {
    let lab = Lab::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        lab.send("POST", PODS, pod(name)).await;
    }
    let (_, first) = list(&lab, "limit=2").await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    for gone in ["a", "d"] {
        lab.send("DELETE", &format!("{PODS}/{gone}"), Value::Null)
            .await;
    }
    lab.send("POST", PODS, pod("c2")).await;
    let (_, second) = list(
        &lab,
        &format!("limit=2&continue={}", text(&first, "continue")),
    )
    .await;
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(
        text(&second, "resourceVersion"),
        text(&first, "resourceVersion")
    );
    let (_, last) = list(
        &lab,
        &format!("limit=2&continue={}", text(&second, "continue")),
    )
    .await;
    assert_eq!((names(&last), text(&last, "continue")), (vec!["e"], ""));
    let (_, exact) = list(
        &lab,
        &format!(
            "resourceVersionMatch=Exact&resourceVersion={}",
            text(&first, "resourceVersion")
        ),
    )
    .await;
    assert_eq!(names(&exact), ["a", "b", "c", "d", "e"]);
    let (_, now) = list(&lab, "").await;
    assert_eq!(names(&now), ["b", "c", "c2", "e"]);
}

#[tokio::test]
async fn a_page_counts_what_is_selected() {
    let lab = Lab::start().await;
    for (name, app) in [("a", "web"), ("b", "db"), ("c", "web"), ("d", "web")] {
        let mut labelled = pod(name);
        labelled["metadata"]["labels"] = json!({"app": app});
        lab.send("POST", PODS, labelled).await;
    }
    let query = "labelSelector=app%3Dweb&limit=2";
    let (_, first) = list(&lab, query).await;
    assert_eq!(names(&first), ["a", "c"]);
    assert_eq!(first["metadata"].get("remainingItemCount"), None);
    let (_, last) = list(
        &lab,
        &format!("{query}&continue={}", text(&first, "continue")),
    )
    .await;
    assert_eq!(names(&last), ["d"]);
}

#[tokio::test]
async fn pages_that_are_forgotten_can_still_be_finished() {
    let mut lab = Lab::start().await;
    for name in ["a", "b", "c"] {
        lab.send("POST", PODS, pod(name)).await;
    }
    let (_, first) = list(&lab, "limit=1").await;
    lab.send("DELETE", &format!("{PODS}/b"), Value::Null).await;
    // History does not outlive the server.
    lab = lab.restart().await;
    let (code, status) = list(&lab, &format!("continue={}", text(&first, "continue"))).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
    let (code, rest) = list(&lab, &format!("continue={}", text(&status, "continue"))).await;
    assert_eq!((code, names(&rest)), (200, vec!["c"]));
    let (code, status) = list(&lab, "resourceVersion=1&resourceVersionMatch=Exact").await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
}

#[tokio::test]
async fn a_version_that_was_never_is_told_apart() {
    let lab = Lab::start().await;
    for query in [
        "resourceVersion=1000000",
        "resourceVersion=1000000&resourceVersionMatch=Exact",
        "watch=1&resourceVersion=1000000&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
    ] {
        let (code, status) = list(&lab, query).await;
        assert_eq!(code, 504, "{query}: {status}");
        assert_eq!(
            status["details"]["causes"][0]["reason"],
            "ResourceVersionTooLarge"
        );
    }
    let (code, _) = list(&lab, "watch=1&sendInitialEvents=true").await;
    assert_eq!(code, 422);
}

#[tokio::test]
async fn kubectl_reads_pages() {
    let lab = Lab::start().await;
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    for name in ["a", "b", "c"] {
        lab.send("POST", PODS, pod(name)).await;
    }
    for output in ["name", "wide"] {
        let printed = kubectl
            .ok(&["get", "pods", "--chunk-size=1", "-o", output])
            .await;
        let lines = printed.lines().filter(|line| !line.starts_with("NAME"));
        assert_eq!(lines.count(), 3, "{printed}");
    }
}
