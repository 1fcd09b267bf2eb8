//! Rollouts that are held up, that fail, and that outlive who made them.

use serde_json::{Value, json};

use crate::lab::{Lab, eventually};
use crate::workloads::{
    DEPLOYMENTS, MERGE, PODS, SETS, items, kubelets, reaches, with_node, workload,
};

const DONE: [(&str, i64); 3] = [
    ("replicas", 2),
    ("updatedReplicas", 2),
    ("availableReplicas", 2),
];

/// A deployment of two pods that are there.
async fn deployed(lab: &Lab) -> String {
    let web = workload("Deployment", "web", "a:1", json!({"replicas": 2}));
    lab.send("POST", DEPLOYMENTS, web).await;
    let path = format!("{DEPLOYMENTS}/web");
    reaches(lab, &path, "two pods", &DONE).await;
    path
}

fn image(name: &str) -> Value {
    json!({"containers": [{"name": "main", "image": name, "imagePullPolicy": "Always"}]})
}

/// `status reason` of whether it goes on.
async fn progressing(lab: &Lab, path: &str) -> String {
    let (_, deployment) = lab.send("GET", path, Value::Null).await;
    let conditions = deployment["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Progressing");
    found.map_or(String::new(), |condition| {
        format!(
            "{} {}",
            condition["status"].as_str().unwrap(),
            condition["reason"].as_str().unwrap()
        )
    })
}

async fn images(lab: &Lab) -> Vec<String> {
    let pods = items(lab, PODS).await;
    let images = pods
        .iter()
        .map(|pod| &pod["spec"]["containers"][0]["image"]);
    images
        .map(|image| image.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_paused_deployment_is_scaled_and_not_rolled_out() {
    let lab = with_node().await;
    let path = deployed(&lab).await;
    let held = json!({"spec": {
        "paused": true, "replicas": 3, "template": {"spec": image("a:2")},
    }});
    lab.send_as("PATCH", &path, MERGE, held).await;
    eventually("it says that it is paused", async || {
        (progressing(&lab, &path).await == "Unknown DeploymentPaused").then_some(())
    })
    .await;
    let scaled = [
        ("replicas", 3),
        ("updatedReplicas", 0),
        ("availableReplicas", 3),
    ];
    reaches(&lab, &path, "three pods of the old template", &scaled).await;
    assert_eq!(images(&lab).await, ["a:1"; 3]);
    assert_eq!(items(&lab, SETS).await.len(), 1);
    let resumed = json!({"spec": {"paused": false}});
    lab.send_as("PATCH", &path, MERGE, resumed).await;
    let done = [
        ("replicas", 3),
        ("updatedReplicas", 3),
        ("availableReplicas", 3),
    ];
    reaches(&lab, &path, "rolled out", &done).await;
    eventually("the new template alone", async || {
        kubelets(&lab).await;
        (images(&lab).await == ["a:2"; 3]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_rollout_that_takes_too_long_says_so_and_may_still_succeed() {
    let lab = with_node().await;
    let path = deployed(&lab).await;
    eventually("it has succeeded", async || {
        (progressing(&lab, &path).await == "True NewReplicaSetAvailable").then_some(())
    })
    .await;
    let bad = json!({"spec": {"progressDeadlineSeconds": 1, "template": {"spec": image("bad")}}});
    lab.send_as("PATCH", &path, MERGE, bad).await;
    eventually("it took too long", async || {
        kubelets(&lab).await;
        (progressing(&lab, &path).await == "False ProgressDeadlineExceeded").then_some(())
    })
    .await;
    let good = json!({"spec": {"template": {"spec": image("a:2")}}});
    lab.send_as("PATCH", &path, MERGE, good).await;
    reaches(&lab, &path, "rolled out after all", &DONE).await;
    eventually("and says so", async || {
        (progressing(&lab, &path).await == "True NewReplicaSetAvailable").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_orphaned_set_is_adopted_by_the_next_deployment() {
    let lab = with_node().await;
    let path = deployed(&lab).await;
    let before = items(&lab, PODS).await;
    let (_, deleted) = lab
        .send(
            "DELETE",
            &format!("{path}?propagationPolicy=Orphan"),
            Value::Null,
        )
        .await;
    assert_eq!(
        deleted["metadata"]["finalizers"],
        json!(["orphan"]),
        "{deleted}"
    );
    eventually("the deployment is gone", async || {
        (lab.send("GET", &path, Value::Null).await.0 == 404).then_some(())
    })
    .await;
    let sets = items(&lab, SETS).await;
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0]["metadata"]["ownerReferences"], json!([]));
    let web = workload("Deployment", "web", "a:1", json!({"replicas": 2}));
    let (_, made) = lab.send("POST", DEPLOYMENTS, web).await;
    reaches(&lab, &path, "there again", &DONE).await;
    let sets = items(&lab, SETS).await;
    assert_eq!(sets.len(), 1, "no other set was made");
    assert_eq!(
        sets[0]["metadata"]["ownerReferences"][0]["uid"],
        made["metadata"]["uid"]
    );
    let names = |pods: &[Value]| -> Vec<Value> {
        pods.iter()
            .map(|pod| pod["metadata"]["uid"].clone())
            .collect()
    };
    assert_eq!(
        names(&items(&lab, PODS).await),
        names(&before),
        "the same pods"
    );
}
