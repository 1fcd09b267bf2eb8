//! Evictions: what `kubectl drain` does to the pods of a node.

use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::lab::{Lab, pod, ready_node};

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn an_eviction_deletes_on_its_own_terms() {
    let lab = Lab::start().await;
    let (_, created) = lab.send("POST", PODS, pod("web")).await;
    let path = format!("{PODS}/web/eviction");
    let uid = &created["metadata"]["uid"];
    let eviction = |options: Value| json!({"metadata": {"name": "web"}, "deleteOptions": options});
    for (options, code) in [
        (json!({"preconditions": {"uid": "another"}}), 409),
        (json!({"dryRun": ["All"]}), 201),
        (json!({"preconditions": {"uid": uid}}), 201),
        (json!({}), 404),
    ] {
        let (got, status) = lab.send("POST", &path, eviction(options.clone())).await;
        assert_eq!(got, code, "{options}: {status}");
    }
    let other = json!({"metadata": {"name": "other"}});
    let (code, status) = lab.send("POST", &path, other).await;
    assert_eq!(code, 400, "{status}");
    let (code, _) = lab.send("PUT", &path, eviction(json!({}))).await;
    assert_eq!(code, 405);
}

#[tokio::test]
async fn a_drained_node_has_no_pods_and_gets_none() {
    let lab = Lab::start().await;
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    lab.send("POST", "/api/v1/nodes", ready_node("node-1"))
        .await;
    let mut finished = pod("finished");
    finished["spec"]["nodeName"] = json!("node-1");
    lab.send("POST", PODS, finished).await;
    let done = json!({"status": {"phase": "Succeeded"}});
    let path = format!("{PODS}/finished/status");
    lab.send_as("PATCH", &path, "application/merge-patch+json", done)
        .await;
    let shown = kubectl
        .ok(&["drain", "node-1", "--force", "--dry-run=server"])
        .await;
    assert!(
        shown.contains("node/node-1 drained (server dry run)"),
        "{shown}"
    );
    let drained = kubectl
        .ok(&["drain", "node-1", "--force", "--timeout=30s"])
        .await;
    assert!(drained.contains("pod/finished evicted"), "{drained}");
    let (code, _) = lab
        .send("GET", &format!("{PODS}/finished"), Value::Null)
        .await;
    assert_eq!(code, 404);
    let (_, node) = lab.send("GET", "/api/v1/nodes/node-1", Value::Null).await;
    assert_eq!(node["spec"]["unschedulable"], true);
}
