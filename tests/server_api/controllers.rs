//! The controllers at work.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::lab::{Lab, eventually, pod, ready_node, schedulable};

const PODS: &str = "/api/v1/namespaces/default/pods";
const NODES: &str = "/api/v1/nodes";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

async fn nodes_of_pods(lab: &Lab) -> BTreeMap<String, usize> {
    let pods: Vec<Pod> = lab
        .pods("default")
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    let mut counts = BTreeMap::new();
    for pod in pods {
        let node = pod.spec.and_then(|spec| spec.node_name).unwrap_or_default();
        *counts.entry(node).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_burst_of_pods_is_spread_evenly() {
    let lab = Lab::start().await;
    for name in ["node-1", "node-2", "node-3"] {
        lab.send("POST", NODES, ready_node(name)).await;
    }
    let creations = (0..90).map(|index| lab.send("POST", PODS, schedulable(&format!("p{index}"))));
    let created = futures::future::join_all(creations.collect::<Vec<_>>()).await;
    assert!(created.iter().all(|(code, _)| *code == 201));
    eventually("thirty pods on each node", async || {
        let counts = nodes_of_pods(&lab).await;
        (counts.len() == 3 && counts.values().all(|count| *count == 30)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_says_why_and_is_tried_again() {
    let lab = Lab::start().await;
    lab.send("POST", NODES, ready_node("node-1")).await;
    let mut picky = schedulable("picky");
    picky["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    lab.send("POST", PODS, picky).await;
    let expected = "0/1 nodes are available: 1 node(s) didn't match Pod's node \
                    affinity/selector. preemption: 0/1 nodes are available: 1 Preemption is not \
                    helpful for scheduling.";
    eventually("the condition", async || {
        let (_, pod) = lab.send("GET", &format!("{PODS}/picky"), Value::Null).await;
        let condition = &pod["status"]["conditions"][0];
        (condition["reason"] == "Unschedulable" && condition["message"] == expected).then_some(())
    })
    .await;
    eventually("the event", async || {
        let path = "/api/v1/namespaces/default/events?fieldSelector=reason=FailedScheduling";
        let (_, events) = lab.send("GET", path, Value::Null).await;
        (events["items"][0]["message"] == expected).then_some(())
    })
    .await;
    let label = json!({"metadata": {"labels": {"disk": "ssd"}}});
    lab.send_as(
        "PATCH",
        &format!("{NODES}/node-1"),
        "application/merge-patch+json",
        label,
    )
    .await;
    eventually("it is bound", async || {
        nodes_of_pods(&lab)
            .await
            .contains_key("node-1")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_node_owned_and_ran_goes_with_it() {
    let lab = Lab::start().await;
    let (_, node) = lab.send("POST", NODES, ready_node("node-1")).await;
    let owner =
        |uid: &Value| json!([{"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": uid}]);
    let lease = |name: &str, owners: Value| json!({"metadata": {"name": name, "ownerReferences": owners}, "spec": {}});
    lab.send(
        "POST",
        LEASES,
        lease("owned", owner(&node["metadata"]["uid"])),
    )
    .await;
    lab.send("POST", LEASES, lease("free", json!([]))).await;
    let mut bound = pod("web");
    bound["spec"]["nodeName"] = json!("node-1");
    lab.send("POST", PODS, bound).await;
    lab.send("DELETE", &format!("{NODES}/node-1"), Value::Null)
        .await;
    for path in [format!("{LEASES}/owned"), format!("{PODS}/web")] {
        eventually(&path, async || {
            (lab.send("GET", &path, Value::Null).await.0 == 404).then_some(())
        })
        .await;
    }
    let (code, _) = lab
        .send("GET", &format!("{LEASES}/free"), Value::Null)
        .await;
    assert_eq!(code, 200);

    lab.send(
        "POST",
        LEASES,
        lease("born-orphaned", owner(&json!("no-such-uid"))),
    )
    .await;
    eventually("an object whose owner never was goes too", async || {
        let path = format!("{LEASES}/born-orphaned");
        (lab.send("GET", &path, Value::Null).await.0 == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn namespaces_that_every_cluster_has_stay_or_come_back() {
    let lab = Lab::start().await;
    for name in ["default", "kube-system", "kube-public"] {
        let path = format!("/api/v1/namespaces/{name}");
        let (code, status) = lab.send("DELETE", &path, Value::Null).await;
        let message =
            format!("namespaces {name:?} is forbidden: this namespace may not be deleted");
        assert_eq!((code, &status["message"]), (403, &json!(message)));
    }
    let path = "/api/v1/namespaces/kube-node-lease";
    let (_, before) = lab.send("GET", path, Value::Null).await;
    lab.send("DELETE", path, Value::Null).await;
    eventually("another of its name", async || {
        let (code, now) = lab.send("GET", path, Value::Null).await;
        (code == 200 && now["metadata"]["uid"] != before["metadata"]["uid"]).then_some(())
    })
    .await;
    let lease = json!({"metadata": {"name": "node-1"}, "spec": {}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let (code, _) = lab.send("POST", leases, lease).await;
    assert_eq!(code, 201);
}
