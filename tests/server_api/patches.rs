//! Strategic merge patches: lists merge as their kind says.

use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::lab::{Lab, pod, ready_node};

const PODS: &str = "/api/v1/namespaces/default/pods";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

#[tokio::test]
async fn lists_merge_by_key() {
    let lab = Lab::start().await;
    let mut web = pod("web");
    web["metadata"]["finalizers"] = json!(["example.com/a"]);
    web["spec"]["containers"] = json!([
        {"name": "main", "image": "pause", "env": [{"name": "A", "value": "1"}]},
        {"name": "side", "image": "pause"},
    ]);
    lab.send("POST", PODS, web).await;
    let path = format!("{PODS}/web");
    let patch = json!({
        "metadata": {"finalizers": ["example.com/b"]},
        "spec": {"containers": [{"name": "side", "image": "pause:2"}]},
    });
    let (code, patched) = lab.send_as("PATCH", &path, STRATEGIC, patch).await;
    assert_eq!(code, 200, "{patched}");
    let images: Vec<&Value> = patched["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| &container["image"])
        .collect();
    assert_eq!(images, ["pause", "pause:2"]);
    assert_eq!(patched["spec"]["containers"][0]["env"][0]["value"], "1");
    assert_eq!(
        patched["metadata"]["finalizers"],
        json!(["example.com/b", "example.com/a"])
    );

    let patch = json!({"metadata": {
        "$deleteFromPrimitiveList/finalizers": ["example.com/a", "example.com/b"],
    }});
    let (_, patched) = lab.send_as("PATCH", &path, STRATEGIC, patch).await;
    assert_eq!(patched["metadata"]["finalizers"], json!([]));
}

#[tokio::test]
async fn conditions_merge_by_type() {
    let lab = Lab::start().await;
    lab.send("POST", "/api/v1/nodes", ready_node("node-1"))
        .await;
    let patch = json!({"status": {"conditions": [{"type": "DiskPressure", "status": "False"}]}});
    let (code, patched) = lab
        .send_as("PATCH", "/api/v1/nodes/node-1/status", STRATEGIC, patch)
        .await;
    assert_eq!(code, 200, "{patched}");
    let conditions = patched["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().any(|one| one["type"] == "Ready");
    assert_eq!((ready, conditions.len()), (true, 2));
}

#[tokio::test]
async fn a_patch_that_makes_no_sense_is_refused_and_explained() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("web")).await;
    let patch = json!({"spec": {"containers": [{"image": "pause:2"}]}});
    let (code, status) = lab
        .send_as("PATCH", &format!("{PODS}/web"), STRATEGIC, patch)
        .await;
    assert_eq!(code, 400);
    assert_eq!(
        status["message"],
        "unable to apply the strategic merge patch to pods \"web\": an element of the patch has no \
         \"name\", the key of its list"
    );
}

#[tokio::test]
async fn what_kubectl_patches_strategically() {
    let lab = Lab::start().await;
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    lab.send("POST", PODS, pod("web")).await;
    lab.send("POST", "/api/v1/nodes", ready_node("node-1"))
        .await;
    let patch = r#"{"spec":{"containers":[{"name":"main","image":"pause:2"}]}}"#;
    for (arguments, expected) in [
        (vec!["patch", "pod", "web", "-p", patch], "pod/web patched"),
        (
            vec!["set", "image", "pod/web", "main=pause:3"],
            "pod/web image updated",
        ),
        (
            vec!["taint", "nodes", "node-1", "disk=slow:NoSchedule"],
            "node/node-1 tainted",
        ),
        (vec!["cordon", "node-1"], "node/node-1 cordoned"),
        (vec!["uncordon", "node-1"], "node/node-1 uncordoned"),
        (
            vec!["label", "node", "node-1", "a=b"],
            "node/node-1 labeled",
        ),
    ] {
        let printed = kubectl.ok(&arguments).await;
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
    }
    let (_, node) = lab.send("GET", "/api/v1/nodes/node-1", Value::Null).await;
    assert_eq!(node["spec"]["taints"][0]["key"], "disk");
    assert_eq!(node["spec"].get("unschedulable"), None);
    let (_, pod) = lab.send("GET", &format!("{PODS}/web"), Value::Null).await;
    assert_eq!(pod["spec"]["containers"][0]["image"], "pause:3");
}
