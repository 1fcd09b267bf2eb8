//! Replica sets, deployments and daemon sets, with nodes and a kubelet that are played here.

use serde_json::{Value, json};

use crate::lab::{Lab, eventually, ready_node};

pub const PODS: &str = "/api/v1/namespaces/default/pods";
const NODES: &str = "/api/v1/nodes";
pub const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
pub const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
pub const MERGE: &str = "application/merge-patch+json";

pub fn workload(kind: &str, name: &str, image: &str, more: Value) -> Value {
    let mut workload = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    });
    for (key, value) in more.as_object().unwrap() {
        workload["spec"][key] = value.clone();
    }
    workload
}

pub async fn items(lab: &Lab, path: &str) -> Vec<Value> {
    let (code, list) = lab.send("GET", path, Value::Null).await;
    assert_eq!(code, 200, "{path}: {list}");
    list["items"].as_array().unwrap().clone()
}

/// One round of what the agents of all nodes would do: pods that are bound run and are ready, pods
/// that are to go are gone. Images named `bad` never get ready.
pub async fn kubelets(lab: &Lab) -> Vec<Value> {
    let pods = items(lab, PODS).await;
    for pod in &pods {
        let path = format!("{PODS}/{}", pod["metadata"]["name"].as_str().unwrap());
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            let now = format!("{path}?gracePeriodSeconds=0");
            lab.send("DELETE", &now, Value::Null).await;
        } else if pod["spec"]["nodeName"].is_string() && pod["status"]["phase"] == "Pending" {
            let ready = pod["spec"]["containers"][0]["image"] != "bad";
            let status = json!({"status": {"phase": "Running", "podIP": "10.244.0.9", "conditions": [
                {"type": "Ready", "status": if ready { "True" } else { "False" },
                 "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ]}});
            lab.send_as("PATCH", &format!("{path}/status"), MERGE, status)
                .await;
        }
    }
    pods
}

pub async fn reaches(lab: &Lab, path: &str, what: &str, wanted: &[(&str, i64)]) {
    eventually(what, async || {
        kubelets(lab).await;
        let (_, object) = lab.send("GET", path, Value::Null).await;
        let status = &object["status"];
        let observed = status["observedGeneration"] == object["metadata"]["generation"];
        let all = wanted
            .iter()
            .all(|(field, number)| status[*field].as_i64().unwrap_or(0) == *number);
        (observed && all).then_some(())
    })
    .await;
}

pub async fn with_node() -> Lab {
    let lab = Lab::start().await;
    lab.send("POST", NODES, ready_node("node-1")).await;
    lab
}

#[tokio::test]
async fn a_replica_set_keeps_its_number_and_adopts_what_it_selects() {
    let lab = with_node().await;
    let stray = json!({
        "metadata": {"name": "stray", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": "a"}]},
    });
    lab.send("POST", PODS, stray).await;
    let set = workload("ReplicaSet", "web", "a", json!({"replicas": 3}));
    let (code, set) = lab.send("POST", SETS, set).await;
    assert_eq!(code, 201, "{set}");
    let path = format!("{SETS}/web");
    let ready = [
        ("replicas", 3),
        ("readyReplicas", 3),
        ("availableReplicas", 3),
    ];
    reaches(&lab, &path, "three pods", &ready).await;
    let (_, stray) = lab.send("GET", &format!("{PODS}/stray"), Value::Null).await;
    let owner = &stray["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], set["metadata"]["uid"]);

    lab.send("DELETE", &format!("{PODS}/stray"), Value::Null)
        .await;
    reaches(&lab, &path, "one for the lost one", &ready).await;
    let free = json!({"metadata": {"labels": {"app": "mine"}}});
    let freed = items(&lab, PODS).await[0]["metadata"]["name"].clone();
    let freed = format!("{PODS}/{}", freed.as_str().unwrap());
    lab.send_as("PATCH", &freed, MERGE, free).await;
    reaches(&lab, &path, "one for the one that left", &ready).await;
    let (_, freed) = lab.send("GET", &freed, Value::Null).await;
    assert_eq!(
        freed["metadata"]["ownerReferences"]
            .as_array()
            .map_or(0, Vec::len),
        0
    );

    let scale = json!({"spec": {"replicas": 1}});
    let (code, scale) = lab
        .send_as("PATCH", &format!("{path}/scale"), MERGE, scale)
        .await;
    assert_eq!((code, &scale["spec"]["replicas"]), (200, &json!(1)));
    assert_eq!(scale["status"]["selector"], "app=web");
    reaches(
        &lab,
        &path,
        "scaled down",
        &[("replicas", 1), ("readyReplicas", 1)],
    )
    .await;
    lab.send("DELETE", &path, Value::Null).await;
    eventually("its pods go with it and no other", async || {
        kubelets(&lab).await;
        (items(&lab, PODS).await.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pod_needs_the_service_account_that_it_names() {
    let lab = with_node().await;
    let named = |name: &str, account: &str| {
        json!({
            "metadata": {"name": name},
            "spec": {"serviceAccountName": account, "containers": [{"name": "main", "image": "a"}]},
        })
    };
    let why = "error looking up service account default/robot: serviceaccount \"robot\" not found";
    let (code, status) = lab.send("POST", PODS, named("alone", "robot")).await;
    let message = format!("pods \"alone\" is forbidden: {why}");
    assert_eq!((code, &status["message"]), (403, &json!(message)));
    let (code, _) = lab.send("POST", PODS, named("plain", "default")).await;
    assert_eq!(code, 201);
    let mut mirror = named("mirror", "robot");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    let (code, _) = lab.send("POST", PODS, mirror).await;
    assert_eq!(code, 201);

    let mut set = workload("ReplicaSet", "web", "a", json!({"replicas": 1}));
    set["spec"]["template"]["spec"]["serviceAccountName"] = json!("robot");
    lab.send("POST", SETS, set).await;
    let message = format!("Error creating: pods \"web-\" is forbidden: {why}");
    eventually("an event about it", async || {
        let events = items(&lab, "/api/v1/namespaces/default/events").await;
        events
            .iter()
            .any(|event| event["message"] == message)
            .then_some(())
    })
    .await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    lab.send("POST", accounts, json!({"metadata": {"name": "robot"}}))
        .await;
    let (code, _) = lab.send("POST", PODS, named("alone", "robot")).await;
    assert_eq!(code, 201);
    let ready = [("replicas", 1), ("readyReplicas", 1)];
    reaches(&lab, &format!("{SETS}/web"), "its pod", &ready).await;
}

#[tokio::test]
async fn a_rollout_keeps_enough_pods_and_can_be_undone() {
    let lab = with_node().await;
    let web = workload(
        "Deployment",
        "web",
        "a:1",
        json!({
            "replicas": 4, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
        }),
    );
    let (code, created) = lab.send("POST", DEPLOYMENTS, web).await;
    assert_eq!(code, 201, "{created}");
    let path = format!("{DEPLOYMENTS}/web");
    let done = [
        ("replicas", 4),
        ("updatedReplicas", 4),
        ("availableReplicas", 4),
    ];
    reaches(&lab, &path, "four pods", &done).await;

    let template = |image: &str| {
        json!({"spec": {"template": {"spec": {"containers": [{
            "name": "main", "image": image, "imagePullPolicy": "Always",
        }]}}}})
    };
    lab.send_as("PATCH", &path, MERGE, template("a:2")).await;
    eventually("rolled out, never with too many or too few", async || {
        let pods = kubelets(&lab).await;
        let active = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let active: Vec<&Value> = pods.iter().filter(active).collect();
        assert!(active.len() <= 5, "{} pods", active.len());
        let (_, web) = lab.send("GET", &path, Value::Null).await;
        let available = web["status"]["availableReplicas"].as_i64().unwrap_or(0);
        assert!(available >= 3, "{}", web["status"]);
        let new = |pod: &&Value| pod["spec"]["containers"][0]["image"] == "a:2";
        (active.len() == 4 && active.iter().all(new)).then_some(())
    })
    .await;
    reaches(&lab, &path, "complete", &done).await;
    let (_, web) = lab.send("GET", &path, Value::Null).await;
    let revision = "deployment.kubernetes.io/revision";
    assert_eq!(web["metadata"]["annotations"][revision], "2");
    assert_eq!(items(&lab, SETS).await.len(), 2);

    lab.send_as("PATCH", &path, MERGE, template("bad")).await;
    reaches(
        &lab,
        &path,
        "stuck with what still works",
        &[("updatedReplicas", 2), ("availableReplicas", 3)],
    )
    .await;
    lab.send_as("PATCH", &path, MERGE, template("a:2")).await;
    reaches(&lab, &path, "back", &done).await;
    let (_, web) = lab.send("GET", &path, Value::Null).await;
    assert_eq!(web["metadata"]["annotations"][revision], "4");
    assert_eq!(items(&lab, SETS).await.len(), 3, "the old set serves again");
    lab.send("DELETE", &path, Value::Null).await;
    eventually("sets and pods go with it", async || {
        kubelets(&lab).await;
        (items(&lab, PODS).await.is_empty() && items(&lab, SETS).await.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn recreating_never_has_two_templates_at_once() {
    let lab = with_node().await;
    let web = workload(
        "Deployment",
        "web",
        "a:1",
        json!({
            "replicas": 2, "strategy": {"type": "Recreate"}, "revisionHistoryLimit": 0,
        }),
    );
    lab.send("POST", DEPLOYMENTS, web).await;
    let path = format!("{DEPLOYMENTS}/web");
    let done = [
        ("replicas", 2),
        ("updatedReplicas", 2),
        ("availableReplicas", 2),
    ];
    reaches(&lab, &path, "two pods", &done).await;
    let patch = json!({"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}});
    lab.send_as("PATCH", &path, MERGE, patch).await;
    eventually("all are new, and none were beside old ones", async || {
        let pods = kubelets(&lab).await;
        let new = pods
            .iter()
            .filter(|pod| pod["metadata"]["labels"]["version"] == "2")
            .count();
        assert!(new == 0 || new == pods.len(), "{new} of {}", pods.len());
        (new == 2).then_some(())
    })
    .await;
    reaches(&lab, &path, "complete", &done).await;
    eventually("no history is kept", async || {
        (items(&lab, SETS).await.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_daemon_set_has_one_pod_on_every_node_that_suits() {
    let lab = with_node().await;
    let mut tainted = ready_node("node-2");
    tainted["spec"] = json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]});
    lab.send("POST", NODES, tainted).await;
    lab.send("POST", NODES, ready_node("node-3")).await;
    let sets = "/apis/apps/v1/namespaces/default/daemonsets";
    let (code, created) = lab
        .send(
            "POST",
            sets,
            workload("DaemonSet", "logs", "a:1", json!({})),
        )
        .await;
    assert_eq!(code, 201, "{created}");
    let path = format!("{sets}/logs");
    let all = |number: i64| {
        [
            ("desiredNumberScheduled", number),
            ("currentNumberScheduled", number),
            ("numberAvailable", number),
            ("updatedNumberScheduled", number),
        ]
    };
    reaches(&lab, &path, "on two of three nodes", &all(2)).await;
    let untaint = json!({"spec": {"taints": null}});
    lab.send_as("PATCH", &format!("{NODES}/node-2"), MERGE, untaint)
        .await;
    reaches(&lab, &path, "on all three", &all(3)).await;
    // A cordon keeps others off, and no daemon.
    let cordon = json!({"spec": {"unschedulable": true}});
    lab.send_as("PATCH", &format!("{NODES}/node-3"), MERGE, cordon)
        .await;
    let image = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "main", "image": "a:2", "imagePullPolicy": "IfNotPresent"},
    ]}}}});
    lab.send_as("PATCH", &path, MERGE, image).await;
    eventually("exchanged one by one", async || {
        let pods = kubelets(&lab).await;
        let (_, set) = lab.send("GET", &path, Value::Null).await;
        assert!(set["status"]["numberAvailable"].as_i64().unwrap_or(0) >= 2);
        let new = |pod: &Value| pod["spec"]["containers"][0]["image"] == "a:2";
        (pods.len() == 3 && pods.iter().all(new)).then_some(())
    })
    .await;
    reaches(&lab, &path, "complete", &all(3)).await;
    let revisions = "/apis/apps/v1/namespaces/default/controllerrevisions";
    assert_eq!(items(&lab, revisions).await.len(), 2);
    let selector = json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}});
    lab.send_as("PATCH", &path, MERGE, selector).await;
    reaches(&lab, &path, "nowhere", &all(0)).await;
    lab.send("DELETE", &path, Value::Null).await;
    eventually("all goes with it", async || {
        kubelets(&lab).await;
        let left = items(&lab, revisions).await.len() + items(&lab, PODS).await.len();
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_taint_drives_away_what_does_not_tolerate_it() {
    let lab = with_node().await;
    lab.send("POST", NODES, ready_node("node-2")).await;
    for (name, node, tolerations) in [
        ("plain", "node-1", json!([])),
        (
            "tolerant",
            "node-1",
            json!([{"key": "work", "operator": "Exists"}]),
        ),
        ("elsewhere", "node-2", json!([])),
    ] {
        let pod = json!({
            "metadata": {"name": name},
            "spec": {
                "nodeName": node, "tolerations": tolerations,
                "containers": [{"name": "main", "image": "a"}],
            },
        });
        lab.send("POST", PODS, pod).await;
    }
    let taint = json!({"spec": {"taints": [{"key": "work", "effect": "NoExecute"}]}});
    lab.send_as("PATCH", &format!("{NODES}/node-1"), MERGE, taint)
        .await;
    eventually("one of them goes", async || {
        let pods = kubelets(&lab).await;
        let names: Vec<&Value> = pods.iter().map(|pod| &pod["metadata"]["name"]).collect();
        (names == ["elsewhere", "tolerant"]).then_some(())
    })
    .await;
    let (_, events) = lab
        .send(
            "GET",
            "/api/v1/namespaces/default/events?fieldSelector=reason=TaintManagerEviction",
            Value::Null,
        )
        .await;
    assert_eq!(
        events["items"][0]["message"],
        "Marking for deletion Pod default/plain"
    );
}

#[tokio::test]
async fn a_node_that_is_not_ready_or_cordoned_is_tainted() {
    let lab = with_node().await;
    let node = format!("{NODES}/node-1");
    let taints = async || {
        let (_, node) = lab.send("GET", &node, Value::Null).await;
        let taints = node["spec"]["taints"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text = |taint: &Value| {
            let key = taint["key"]
                .as_str()
                .unwrap_or("")
                .rsplit('/')
                .next()
                .unwrap_or("");
            format!("{key}:{}", taint["effect"].as_str().unwrap_or(""))
        };
        taints.iter().map(text).collect::<Vec<_>>()
    };
    let ready = async |status: &str| {
        let status = json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        lab.send_as("PATCH", &format!("{node}/status"), MERGE, status)
            .await;
    };
    ready("False").await;
    eventually("not ready", async || {
        (taints().await == ["not-ready:NoSchedule"]).then_some(())
    })
    .await;
    ready("True").await;
    let cordon = json!({"spec": {"unschedulable": true}});
    lab.send_as("PATCH", &node, MERGE, cordon).await;
    eventually("ready and cordoned", async || {
        (taints().await == ["unschedulable:NoSchedule"]).then_some(())
    })
    .await;
}
