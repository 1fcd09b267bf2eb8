//! A node that is not ready: its pods, and the services in front of them.

use serde_json::{Value, json};

use crate::lab::{Lab, eventually, pod, ready_node};
use crate::services::{MERGE, PODS, SERVICES, service};

#[tokio::test]
async fn pods_of_a_node_that_is_not_ready_take_no_more() {
    let lab = Lab::start().await;
    lab.send("POST", SERVICES, service("web", json!({}))).await;
    for node in ["node-1", "node-2"] {
        lab.send("POST", "/api/v1/nodes", ready_node(node)).await;
        let mut pod = pod(&format!("on-{node}"));
        pod["metadata"]["labels"] = json!({"app": "web"});
        pod["spec"]["nodeName"] = node.into();
        lab.send("POST", PODS, pod).await;
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {
            "podIP": format!("10.244.0.{}", &node[5..]), "phase": "Running", "conditions": [ready],
        }});
        let path = format!("{PODS}/on-{node}/status");
        lab.send_as("PATCH", &path, MERGE, status).await;
    }
    let names = |addresses: &Value| -> Vec<String> {
        let each = addresses.as_array().into_iter().flatten();
        each.map(|address| address["targetRef"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let behind = async |field: &str| {
        let endpoints = "/api/v1/namespaces/default/endpoints/web";
        let (_, endpoints) = lab.send("GET", endpoints, Value::Null).await;
        names(&endpoints["subsets"][0][field])
    };
    eventually("both are behind it", async || {
        (behind("addresses").await.len() == 2).then_some(())
    })
    .await;

    let unknown = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    lab.send_as("PATCH", "/api/v1/nodes/node-1/status", MERGE, unknown)
        .await;
    eventually("one is left", async || {
        let left = behind("addresses").await == ["on-node-2"];
        (left && behind("notReadyAddresses").await == ["on-node-1"]).then_some(())
    })
    .await;
    let (_, pod) = lab
        .send("GET", &format!("{PODS}/on-node-1"), Value::Null)
        .await;
    let ready = &pod["status"]["conditions"][0];
    assert_eq!(ready["status"], "False", "{pod}");
    assert_ne!(ready["lastTransitionTime"], "2026-01-01T00:00:00Z", "{pod}");
    for (about, message) in [
        ("node-1", "Node node-1 status is now: NodeNotReady"),
        ("on-node-1", "Node is not ready"),
    ] {
        eventually(message, async || {
            let path = format!(
                "/api/v1/namespaces/default/events\
                 ?fieldSelector=reason=NodeNotReady,involvedObject.name={about}"
            );
            let (_, events) = lab.send("GET", &path, Value::Null).await;
            let [event] = events["items"].as_array()?.as_slice() else {
                return None;
            };
            (event["message"] == message).then_some(())
        })
        .await;
    }
}
