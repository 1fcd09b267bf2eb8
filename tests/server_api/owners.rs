//! What happens to what a deleted object owned.

use serde_json::{Value, json};

use crate::lab::{Lab, eventually, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A pod and two that it owns; the owner asks to wait for the first only.
async fn family(lab: &Lab) {
    let (_, owner) = lab.send("POST", PODS, pod("owner")).await;
    for (name, blocks) in [("first", true), ("second", false)] {
        let mut owned = pod(name);
        owned["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "v1", "kind": "Pod", "name": "owner",
            "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks,
        }]);
        owned["metadata"]["finalizers"] = json!(["example.com/hold"]);
        lab.send("POST", PODS, owned).await;
    }
}

async fn get(lab: &Lab, name: &str) -> Option<Value> {
    let (code, object) = lab
        .send("GET", &format!("{PODS}/{name}"), Value::Null)
        .await;
    (code == 200).then_some(object)
}

async fn release(lab: &Lab, name: &str) {
    let none = json!({"metadata": {"finalizers": null}});
    let merge = "application/merge-patch+json";
    lab.send_as("PATCH", &format!("{PODS}/{name}"), merge, none)
        .await;
}

fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

async fn until_terminating(lab: &Lab, name: &str) {
    let what = format!("{name} is deleted");
    eventually(&what, async || get(lab, name).await.filter(is_terminating)).await;
}

#[tokio::test]
async fn a_foreground_deletion_waits_for_those_who_ask() {
    let lab = Lab::start().await;
    family(&lab).await;
    let policy = json!({"propagationPolicy": "Foreground"});
    let (code, owner) = lab.send("DELETE", &format!("{PODS}/owner"), policy).await;
    assert_eq!(
        (code, &owner["metadata"]["finalizers"]),
        (200, &json!(["foregroundDeletion"]))
    );
    until_terminating(&lab, "first").await;
    until_terminating(&lab, "second").await;
    release(&lab, "second").await;
    assert!(
        get(&lab, "owner").await.is_some(),
        "the first is still there"
    );
    release(&lab, "first").await;
    eventually("the owner is gone", async || {
        match get(&lab, "owner").await {
            None => Some(()),
            Some(_) => None,
        }
    })
    .await;
}

#[tokio::test]
async fn a_background_deletion_is_done_at_once() {
    let lab = Lab::start().await;
    family(&lab).await;
    let path = format!("{PODS}/owner?propagationPolicy=Background");
    lab.send("DELETE", &path, Value::Null).await;
    assert!(get(&lab, "owner").await.is_none());
    until_terminating(&lab, "first").await;
}

#[tokio::test]
async fn orphans_stay() {
    let lab = Lab::start().await;
    family(&lab).await;
    for (query, body, code) in [
        ("?propagationPolicy=Later", Value::Null, 422),
        (
            "",
            json!({"propagationPolicy": "Orphan", "orphanDependents": true}),
            422,
        ),
        ("", json!({"orphanDependents": true}), 200),
    ] {
        let path = format!("{PODS}/owner{query}");
        let (got, status) = lab.send("DELETE", &path, body).await;
        assert_eq!(got, code, "{status}");
    }
    eventually("the owner is gone", async || {
        match get(&lab, "owner").await {
            None => Some(()),
            Some(_) => None,
        }
    })
    .await;
    for name in ["first", "second"] {
        let orphan = get(&lab, name).await.expect("it stays");
        assert_eq!(orphan["metadata"]["ownerReferences"], json!([]));
        assert!(!is_terminating(&orphan));
    }
}
