//! What writes must be, what they may change, and how objects go.

use serde_json::{Value, json};

use crate::lab::{Lab, pod, ready_node};

const PODS: &str = "/api/v1/namespaces/default/pods";
const NODES: &str = "/api/v1/nodes";
const MERGE: &str = "application/merge-patch+json";

#[tokio::test]
async fn both_patches() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("web")).await;
    let path = format!("{PODS}/web");
    let labels = json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
    let (code, merged) = lab.send_as("PATCH", &path, MERGE, labels.clone()).await;
    assert_eq!(
        (code, &merged["metadata"]["labels"]),
        (200, &labels["metadata"]["labels"])
    );

    let (_, again) = lab.send_as("PATCH", &path, MERGE, labels).await;
    let revision = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(revision(&again), revision(&merged), "nothing changed");

    let patch = json!([
        {"op": "test", "path": "/metadata/labels/a", "value": "1"},
        {"op": "remove", "path": "/metadata/labels/a"},
        {"op": "replace", "path": "/spec/containers/0/image", "value": "pause:2"},
    ]);
    let json_patch = "application/json-patch+json";
    let (code, patched) = lab.send_as("PATCH", &path, json_patch, patch.clone()).await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(patched["metadata"]["labels"], json!({"b": "2"}));
    assert_eq!(patched["metadata"]["generation"], 2, "the spec changed");

    let (code, _) = lab.send_as("PATCH", &path, json_patch, patch).await;
    assert_eq!(code, 422, "the test in the patch fails");
    let stale = json!({"metadata": {"resourceVersion": revision(&merged), "labels": {"c": "3"}}});
    let (code, _) = lab.send_as("PATCH", &path, MERGE, stale).await;
    assert_eq!(code, 409);
    let renamed = json!({"metadata": {"name": "other"}});
    let (code, _) = lab.send_as("PATCH", &path, MERGE, renamed).await;
    assert_eq!(code, 400);
}

#[tokio::test]
async fn a_patch_cannot_blow_an_object_up() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("web")).await;
    let path = format!("{PODS}/web");
    let from = "/metadata/labels";
    let mut double = vec![json!({"op": "add", "path": from, "value": {"a": "b"}})];
    double.extend(
        (0..60).map(|n| json!({"op": "copy", "from": from, "path": format!("{from}/{n}")})),
    );
    let json_patch = "application/json-patch+json";
    let (code, status) = lab.send_as("PATCH", &path, json_patch, double.into()).await;
    assert_eq!(code, 422, "{status}");
    let text = "x".repeat(2 << 20);
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {}});
    let events = "/api/v1/namespaces/default/events";
    lab.send("POST", events, event).await;
    for (key, expected) in [("message", 200), ("reason", 413)] {
        let grow = json!({key: text});
        let (code, status) = lab
            .send_as("PATCH", &format!("{events}/e"), MERGE, grow)
            .await;
        assert_eq!(code, expected, "{}", status["message"]);
    }
}

#[tokio::test]
async fn the_status_verb_changes_the_status_alone() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("web")).await;
    let patch = json!({
        "metadata": {"labels": {"seen": "yes"}},
        "spec": {"nodeName": "sneaked-in"},
        "status": {"phase": "Running", "podIP": "10.244.0.2"},
    });
    let path = format!("{PODS}/web/status");
    let (code, patched) = lab.send_as("PATCH", &path, MERGE, patch).await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(patched["status"]["phase"], "Running");
    assert_eq!(patched["spec"].get("nodeName"), None);
    assert_eq!(patched["metadata"]["labels"]["seen"], "yes");
    assert_eq!(patched["metadata"]["generation"], 1);
}

#[tokio::test]
async fn what_is_wrong_is_said_as_kubernetes_says_it() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("taken")).await;
    let mut nameless = pod("web");
    nameless["spec"]["containers"][0]["name"] = Value::Null;
    let mut misspelt = pod("web");
    misspelt["spec"]["foo"] = json!(1);
    let mut foreign = pod("web");
    foreign["metadata"]["namespace"] = json!("other");
    for (path, body, code, message) in [
        (PODS, pod("taken"), 409, "pods \"taken\" already exists"),
        (
            PODS,
            nameless,
            422,
            "Pod \"web\" is invalid: spec.containers[0].name: Required value",
        ),
        (
            "/api/v1/namespaces/nowhere/pods",
            pod("web"),
            404,
            "namespaces \"nowhere\" not found",
        ),
        (
            "/api/v1/namespaces/default/pods?fieldValidation=Strict",
            misspelt,
            400,
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \
             \"spec.foo\"",
        ),
        (
            PODS,
            foreign,
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            NODES,
            pod("web"),
            400,
            "the kind in the data (Pod) does not match the expected kind (Node)",
        ),
    ] {
        let (got, status) = lab.send("POST", path, body).await;
        assert_eq!((got, status["message"].as_str()), (code, Some(message)));
    }
    let (_, status) = lab.send("POST", PODS, pod("Not-A-Name")).await;
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.name");
    assert_eq!(
        status["details"]["causes"][0]["reason"],
        "FieldValueInvalid"
    );
}

#[tokio::test]
async fn unknown_fields_are_warned_about_and_not_kept() {
    let lab = Lab::start().await;
    let mut misspelt = pod("web");
    misspelt["spec"]["foo"] = json!(1);
    let response = lab.respond("POST", PODS, misspelt).await;
    assert_eq!(response.status(), 201);
    assert_eq!(
        response.headers()["warning"],
        r#"299 - "unknown field \"spec.foo\"""#
    );
    let (_, kept) = lab.send("GET", &format!("{PODS}/web"), Value::Null).await;
    assert_eq!(kept["spec"].get("foo"), None);
}

#[tokio::test]
async fn a_generated_name_keeps_its_beginning() {
    let lab = Lab::start().await;
    let mut nameless = pod("");
    nameless["metadata"] = json!({"generateName": "web-"});
    let (code, created) = lab.send("POST", PODS, nameless).await;
    let name = created["metadata"]["name"].as_str().unwrap();
    assert_eq!((code, name.len()), (201, "web-".len() + 5));
    assert!(name.starts_with("web-"));
}

#[tokio::test]
async fn a_bound_pod_is_removed_by_its_node_or_by_force() {
    let lab = Lab::start().await;
    lab.send("POST", NODES, ready_node("node-1")).await;
    for name in ["soft", "hard"] {
        let mut bound = pod(name);
        bound["spec"]["nodeName"] = json!("node-1");
        lab.send("POST", PODS, bound).await;
    }
    let soft = format!("{PODS}/soft");
    let (_, deleted) = lab.send("DELETE", &soft, Value::Null).await;
    assert_eq!(deleted["metadata"]["deletionGracePeriodSeconds"], 30);
    let (_, kept) = lab.send("GET", &soft, Value::Null).await;
    assert!(kept["metadata"]["deletionTimestamp"].is_string());
    let (code, _) = lab.send("POST", PODS, pod("soft")).await;
    assert_eq!(code, 409, "its name is still taken");
    let at_once = json!({"gracePeriodSeconds": 0});
    for path in [soft, format!("{PODS}/hard")] {
        lab.send("DELETE", &path, at_once.clone()).await;
        let (code, _) = lab.send("GET", &path, Value::Null).await;
        assert_eq!(code, 404, "{path}");
    }
}

#[tokio::test]
async fn a_grace_period_beyond_all_dates_is_a_long_one() {
    let lab = Lab::start().await;
    lab.send("POST", NODES, ready_node("node-1")).await;
    for (name, own, asked) in [
        ("own", i64::MAX, Value::Null),
        ("asked", 30, json!({"gracePeriodSeconds": i64::MAX})),
    ] {
        let mut bound = pod(name);
        bound["spec"]["nodeName"] = json!("node-1");
        bound["spec"]["terminationGracePeriodSeconds"] = json!(own);
        lab.send("POST", PODS, bound).await;
        let path = format!("{PODS}/{name}");
        let (code, deleted) = lab.send("DELETE", &path, asked).await;
        assert_eq!(code, 200, "{deleted}");
        assert!(deleted["metadata"]["deletionTimestamp"].is_string());
        // As Kubernetes: a negative one is a second.
        let (_, sooner) = lab
            .send("DELETE", &path, json!({"gracePeriodSeconds": -5}))
            .await;
        assert_eq!(sooner["metadata"]["deletionGracePeriodSeconds"], 1);
    }
}

#[tokio::test]
async fn preconditions_and_finalizers_hold_a_deletion_up() {
    let lab = Lab::start().await;
    let mut held = pod("web");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    lab.send("POST", PODS, held).await;
    let path = format!("{PODS}/web");
    let other = json!({"preconditions": {"uid": "another"}});
    let (code, _) = lab.send("DELETE", &path, other).await;
    assert_eq!(code, 409);
    let (code, deleted) = lab.send("DELETE", &path, Value::Null).await;
    assert_eq!(code, 200);
    assert!(deleted["metadata"]["deletionTimestamp"].is_string());
    lab.send_as(
        "PATCH",
        &path,
        MERGE,
        json!({"metadata": {"finalizers": null}}),
    )
    .await;
    let (code, _) = lab.send("GET", &path, Value::Null).await;
    assert_eq!(code, 404);
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let lab = Lab::start().await;
    for (name, app) in [("a", "web"), ("b", "web"), ("c", "db")] {
        let mut labelled = pod(name);
        labelled["metadata"]["labels"] = json!({"app": app});
        lab.send("POST", PODS, labelled).await;
    }
    let path = format!("{PODS}?labelSelector=app%3Dweb");
    let (code, deleted) = lab.send("DELETE", &path, Value::Null).await;
    assert_eq!(
        (code, deleted["items"].as_array().map(Vec::len)),
        (200, Some(2))
    );
    let (_, left) = lab.send("GET", PODS, Value::Null).await;
    assert_eq!(left["items"][0]["metadata"]["name"], "c");
    let (_, none) = lab
        .send(
            "GET",
            &format!("{PODS}?fieldSelector=metadata.name!=c"),
            Value::Null,
        )
        .await;
    assert_eq!(none["items"], json!([]));
    let (code, status) = lab
        .send(
            "GET",
            &format!("{PODS}?fieldSelector=spec.color=red"),
            Value::Null,
        )
        .await;
    assert_eq!(code, 400);
    assert_eq!(status["message"], "field label not supported: spec.color");
}

#[tokio::test]
async fn a_binding_is_made_once() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("web")).await;
    let path = format!("{PODS}/web/binding");
    let to = |node: &str| json!({"target": {"kind": "Node", "name": node}});
    let (code, _) = lab.send("POST", &path, to("node-1")).await;
    assert_eq!(code, 201);
    let (code, status) = lab.send("POST", &path, to("node-2")).await;
    assert_eq!(code, 409, "{status}");
    let (_, bound) = lab.send("GET", &format!("{PODS}/web"), Value::Null).await;
    assert_eq!(bound["spec"]["nodeName"], "node-1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
}

#[tokio::test]
async fn fields_that_never_change() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("web")).await;
    let (code, status) = lab
        .send_as(
            "PATCH",
            &format!("{PODS}/web"),
            MERGE,
            json!({"spec": {"hostNetwork": true}}),
        )
        .await;
    assert_eq!(
        (code, &status["details"]["causes"][0]["field"]),
        (422, &json!("spec"))
    );

    lab.send("POST", NODES, ready_node("node-1")).await;
    let range = |range: &str| json!({"spec": {"podCIDRs": [range]}});
    let path = format!("{NODES}/node-1");
    let (code, node) = lab
        .send_as("PATCH", &path, MERGE, range("10.244.0.0/24"))
        .await;
    assert_eq!(
        (code, &node["spec"]["podCIDR"]),
        (200, &json!("10.244.0.0/24"))
    );
    let (code, status) = lab
        .send_as("PATCH", &path, MERGE, range("10.244.1.0/24"))
        .await;
    assert_eq!(code, 422, "{status}");
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let mut lab = Lab::start().await;
    let (_, before) = lab.send("POST", PODS, pod("web")).await;
    lab = lab.restart().await;
    let path = format!("{PODS}/web");
    let (_, after) = lab.send("GET", &path, Value::Null).await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    let (_, next) = lab.send("POST", PODS, pod("next")).await;
    let revision = |object: &Value| -> u64 {
        object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(revision(&next) > revision(&before));
}

#[tokio::test]
async fn concurrent_patches_all_count() {
    let lab = std::sync::Arc::new(Lab::start().await);
    lab.send("POST", PODS, pod("web")).await;
    let mut patches = tokio::task::JoinSet::new();
    for index in 0..50 {
        let lab = lab.clone();
        patches.spawn(async move {
            let label = json!({"metadata": {"labels": {format!("l{index}"): "x"}}});
            lab.send_as("PATCH", &format!("{PODS}/web"), MERGE, label)
                .await
                .0
        });
    }
    assert!(patches.join_all().await.into_iter().all(|code| code == 200));
    let (_, patched) = lab.send("GET", &format!("{PODS}/web"), Value::Null).await;
    assert_eq!(
        patched["metadata"]["labels"]
            .as_object()
            .map(|labels| labels.len()),
        Some(50)
    );
}

#[tokio::test]
async fn config_maps_are_kept_and_shown_and_immutable_ones_stay() {
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    let lab = Lab::start().await;
    let map = json!({
        "metadata": {"name": "settings"}, "data": {"a": "1", "b": "2"}, "binaryData": {"c": "AA=="},
        "immutable": true,
    });
    let (code, made) = lab.send("POST", MAPS, map).await;
    assert_eq!((code, &made["data"]["a"]), (201, &json!("1")), "{made}");
    let path = format!("{MAPS}/settings");
    let change = json!({"data": {"a": "3"}});
    let (code, refused) = lab.send_as("PATCH", &path, MERGE, change).await;
    let message = refused["message"].as_str().unwrap_or_default();
    assert_eq!(code, 422);
    assert!(
        message.contains("data: Forbidden: field is immutable when `immutable` is set"),
        "{message}"
    );
    let bad = json!({"metadata": {"name": "bad"}, "data": {"a/b": "1"}});
    let (code, _) = lab.send("POST", MAPS, bad).await;
    assert_eq!(code, 422);
    let client: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(lab.client.clone(), "default");
    client.get("settings").await.expect("typed");
    let seen = podnet::cluster::config_map(&lab.client, "default", "settings").await;
    let seen = seen.expect("readable").expect("there");
    assert_eq!(seen.bytes("c"), Some(&[0][..]));
    let none = podnet::cluster::config_map(&lab.client, "default", "none").await;
    assert_eq!(none.expect("readable"), None);
    let (code, _) = lab.send("DELETE", &path, Value::Null).await;
    assert_eq!(code, 200);
}

#[tokio::test]
async fn quantities_are_shown_in_one_way_and_limits_are_asked_for() {
    let lab = Lab::start().await;
    let with = |name: &str, resources: Value| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["resources"] = resources;
        pod
    };
    let limits = json!({"limits": {"cpu": 0.5, "memory": "1024Mi"}, "requests": {"cpu": "100m"}});
    let (code, made) = lab.send("POST", PODS, with("web", limits)).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({
            "limits": {"cpu": "500m", "memory": "1Gi"},
            "requests": {"cpu": "100m", "memory": "1Gi"},
        })
    );
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let same = json!({"limits": {"cpu": "1", "memory": 1024}, "requests": {"cpu": "1000m"}});
    let (_, made) = lab.send("POST", PODS, with("same", same)).await;
    assert_eq!(made["status"]["qosClass"], "Guaranteed");
    let more = json!({"limits": {"cpu": 1}, "requests": {"cpu": 2}});
    let (code, status) = lab.send("POST", PODS, with("more", more)).await;
    assert_eq!(
        (code, &status["message"]),
        (
            422,
            &json!(
                "Pod \"more\" is invalid: spec.containers[0].resources.requests: Invalid value: \"2\": must \
                 be less than or equal to cpu limit of 1"
            )
        )
    );
    let (code, status) = lab
        .send(
            "POST",
            PODS,
            with("odd", json!({"limits": {"cpu": "many"}})),
        )
        .await;
    assert_eq!(
        (code, &status["message"]),
        (
            400,
            &json!(
                "Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular \
                 expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            )
        )
    );
}
