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

#[tokio::test]
async fn a_pod_goes_where_all_that_it_says_leads_it() {
    let lab = Lab::start().await;
    for (name, zone) in [("node-1", "a"), ("node-2", "a"), ("node-3", "b")] {
        let mut node = ready_node(name);
        node["metadata"]["labels"] = json!({"zone": zone, "host": name});
        node["status"]["allocatable"] = json!({"cpu": "2", "memory": "1Gi", "pods": "10"});
        lab.send("POST", NODES, node).await;
    }
    let spread = json!([{
        "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }]);
    let wish = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [
            {"key": "host", "operator": "In", "values": ["node-2"]},
        ]}},
    ]}});
    let on = async |name: &str, spec: Value| {
        let mut pod = schedulable(name);
        pod["metadata"]["labels"] = json!({"app": "web"});
        for (key, value) in spec.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        let (code, made) = lab.send("POST", PODS, pod).await;
        assert_eq!(code, 201, "{made}");
        eventually(&format!("{name} is decided"), async || {
            let (_, pod) = lab
                .send("GET", &format!("{PODS}/{name}"), Value::Null)
                .await;
            let said = &pod["status"]["conditions"][0]["message"];
            let node = pod["spec"]["nodeName"].as_str();
            node.or(said.as_str()).map(str::to_owned)
        })
        .await
    };
    assert_eq!(on("first", json!({"affinity": wish})).await, "node-2");
    let evenly = json!({"topologySpreadConstraints": spread});
    assert_eq!(on("second", evenly.clone()).await, "node-3");
    let mut both = evenly;
    both["affinity"] = wish;
    assert_eq!(on("third", both.clone()).await, "node-2");
    let heavy = json!({"overhead": {"cpu": "1500m"}, "containers": [
        {"name": "main", "image": "pause", "resources": {"requests": {"cpu": "1"}}},
    ]});
    let why = on("heavy", heavy).await;
    assert!(
        why.starts_with("0/3 nodes are available: 3 Insufficient cpu."),
        "{why}"
    );
    both["nodeSelector"] = json!({"host": "node-1"});
    both["affinity"] = Value::Null;
    let waits = "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 2 node(s) \
                 didn't match Pod's node affinity/selector.";
    // Only the zone of the node it may be on counts, and that is even in itself.
    assert_eq!(on("fourth", both.clone()).await, "node-1");
    both["nodeSelector"] = json!({"zone": "a", "host": "node-9"});
    let why = on("nowhere", both.clone()).await;
    assert!(
        why.contains("3 node(s) didn't match Pod's node affinity/selector"),
        "{why}"
    );
    both["topologySpreadConstraints"][0]["nodeAffinityPolicy"] = json!("Ignore");
    both["nodeSelector"] = json!({"host": "node-1"});
    let why = on("fifth", both).await;
    assert!(why.starts_with(waits), "{why}");
    for name in ["first", "third"] {
        let now = format!("{PODS}/{name}?gracePeriodSeconds=0");
        lab.send("DELETE", &now, Value::Null).await;
    }
    eventually("it is tried again when others go", async || {
        let (_, pod) = lab.send("GET", &format!("{PODS}/fifth"), Value::Null).await;
        (pod["spec"]["nodeName"] == "node-1").then_some(())
    })
    .await;
}
