//! What an update may change, and on which condition.

use serde_json::{Value, json};

use crate::lab::{Lab, pod, ready_node};

const PODS: &str = "/api/v1/namespaces/default/pods";
const NODES: &str = "/api/v1/nodes";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const MERGE: &str = "application/merge-patch+json";

fn deployment(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "a"}]},
            },
        },
    })
}

/// The code and the message of a merge patch.
async fn patch(lab: &Lab, path: &str, patch: Value) -> (u16, String) {
    let (code, answer) = lab.send_as("PATCH", path, MERGE, patch).await;
    let message = answer["message"].as_str().unwrap_or_default();
    (code, message.to_owned())
}

#[tokio::test]
async fn what_is_set_once_is_named_as_kubernetes_names_it() {
    let lab = Lab::start().await;
    let mut web = pod("web");
    web["spec"]["tolerations"] = json!([{"key": "x", "operator": "Exists"}]);
    lab.send("POST", PODS, web).await;
    let mut node = ready_node("node-1");
    node["spec"] = json!({"providerID": "lab://1", "podCIDRs": ["10.244.0.0/24"]});
    lab.send("POST", NODES, node).await;
    lab.send("POST", DEPLOYMENTS, deployment("web")).await;
    let set = json!({"metadata": {"name": "a"}, "data": {"k": "v"}, "immutable": true});
    lab.send("POST", MAPS, set).await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let slice = json!({"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": []});
    lab.send("POST", slices, slice).await;
    for (path, change, expected) in [
        (
            format!("{PODS}/web"),
            json!({"spec": {"hostNetwork": true}}),
            "Pod \"web\" is invalid: spec: Forbidden: pod updates may not change fields other than \
             `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
             `spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously \
             negative)",
        ),
        (
            format!("{PODS}/web"),
            json!({"spec": {"containers": [
                {"name": "main", "image": "pause"}, {"name": "more", "image": "pause"},
            ]}}),
            "Pod \"web\" is invalid: spec.containers: Forbidden: pod updates may not add or remove \
             containers",
        ),
        (
            format!("{PODS}/web"),
            json!({"spec": {"tolerations": [{"key": "y", "operator": "Exists"}]}}),
            "Pod \"web\" is invalid: spec.tolerations: Forbidden: existing toleration can not be \
             modified except its tolerationSeconds",
        ),
        (
            format!("{NODES}/node-1"),
            json!({"spec": {"providerID": "lab://2"}}),
            "Node \"node-1\" is invalid: spec.providerID: Forbidden: node updates may not change \
             providerID except from \"\" to valid",
        ),
        (
            format!("{NODES}/node-1"),
            json!({"spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]}}),
            "Node \"node-1\" is invalid: spec.podCIDRs: Forbidden: node updates may not change podCIDR \
             except from \"\" to valid",
        ),
        (
            format!("{NODES}/node-1"),
            json!({"spec": {"taints": [{"key": "a", "effect": "Never"}]}}),
            "Node \"node-1\" is invalid: metadata.taints[0].effect: Unsupported value: \"Never\": \
             supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ),
        (
            format!("{MAPS}/a"),
            json!({"immutable": null}),
            "ConfigMap \"a\" is invalid: immutable: Forbidden: field is immutable when `immutable` is \
             set",
        ),
        (
            format!("{slices}/a"),
            json!({"addressType": "IPv6"}),
            "EndpointSlice.discovery.k8s.io \"a\" is invalid: addressType: Invalid value: \"IPv6\": \
             field is immutable",
        ),
        (
            format!("{DEPLOYMENTS}/web"),
            json!({"spec": {
                "selector": {"matchLabels": {"app": "b"}},
                "template": {"metadata": {"labels": {"app": "b"}}},
            }}),
            "Deployment.apps \"web\" is invalid: spec.selector: Invalid value: \
             v1.LabelSelector{MatchLabels:map[string]string{\"app\":\"b\"}, \
             MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable",
        ),
    ] {
        let (code, message) = patch(&lab, &path, change).await;
        assert_eq!((code, message.as_str()), (422, expected), "{path}");
    }
}

#[tokio::test]
async fn the_url_says_which_object_it_is() {
    let lab = Lab::start().await;
    let (_, web) = lab.send("POST", PODS, pod("web")).await;
    let path = format!("{PODS}/web");
    let with = |key: &str, value: Value| {
        let mut pod = web.clone();
        pod["metadata"][key] = value;
        pod
    };
    const NAMESPACE: &str =
        "the namespace of the provided object does not match the namespace sent on the request";
    for (change, expected) in [
        (
            with("name", json!("other")),
            "the name of the object (other) does not match the name on the URL (web)",
        ),
        (
            with("name", Value::Null),
            "the name of the object (web based on URL) was undeterminable: name must be provided",
        ),
        (with("namespace", json!("other")), NAMESPACE),
    ] {
        let (code, status) = lab.send("PUT", &path, change.clone()).await;
        assert_eq!((code, &status["message"]), (400, &json!(expected)));
        let metadata = json!({"metadata": change["metadata"]});
        let (code, message) = patch(&lab, &path, metadata).await;
        assert_eq!((code, message.as_str()), (400, expected));
    }
    // Nodes have no namespace, whatever they say.
    let mut node = ready_node("node-1");
    node["metadata"]["namespace"] = json!("default");
    let (code, node) = lab.send("POST", NODES, node).await;
    assert_eq!((code, node["metadata"].get("namespace")), (201, None));
    let (code, status) = lab.send("PUT", &format!("{PODS}/none"), pod("none")).await;
    assert_eq!(
        (code, &status["message"]),
        (404, &json!("pods \"none\" not found"))
    );
}

#[tokio::test]
async fn an_update_can_be_about_one_version_or_one_object() {
    let lab = Lab::start().await;
    let (_, first) = lab
        .send("POST", MAPS, json!({"metadata": {"name": "a"}}))
        .await;
    let path = format!("{MAPS}/a");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    lab.send_as("PATCH", &path, MERGE, label).await;
    let (code, status) = lab.send("PUT", &path, first.clone()).await;
    assert_eq!(
        (code, &status["message"]),
        (
            409,
            &json!(
                "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; \
                 please apply your changes to the latest version and try again"
            )
        )
    );
    let mut another = first.clone();
    another["metadata"]["resourceVersion"] = Value::Null;
    another["metadata"]["uid"] = json!("another");
    let (code, status) = lab.send("PUT", &path, another.clone()).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    another["metadata"]["uid"] = Value::Null;
    let (code, put) = lab.send("PUT", &path, another).await;
    assert_eq!(code, 200, "whoever says nothing means any version: {put}");
    assert_eq!(put["metadata"]["uid"], first["metadata"]["uid"]);
    assert_eq!(put["metadata"].get("labels"), None, "a put says everything");

    for (key, code) in [("resourceVersion", 409), ("uid", 409)] {
        let stale = json!({"preconditions": {key: first["metadata"]["resourceVersion"]}});
        let (got, _) = lab.send("DELETE", &path, stale).await;
        assert_eq!(got, code, "{key}");
    }
    let (_, now) = lab.send("GET", &path, Value::Null).await;
    let conditions = json!({"preconditions": {
        "resourceVersion": now["metadata"]["resourceVersion"], "uid": now["metadata"]["uid"],
    }});
    assert_eq!(lab.send("DELETE", &path, conditions).await.0, 200);

    // A lease is only ever taken from whom it is known to be.
    lab.send(
        "POST",
        LEASES,
        json!({"metadata": {"name": "a"}, "spec": {}}),
    )
    .await;
    let blind = json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "me"}});
    let (code, status) = lab.send("PUT", &format!("{LEASES}/a"), blind).await;
    assert_eq!(
        (code, &status["message"]),
        (
            422,
            &json!(
                "Lease.coordination.k8s.io \"a\" is invalid: metadata.resourceVersion: Invalid value: \
                 0x0: must be specified for an update"
            )
        )
    );
}

#[tokio::test]
async fn the_spec_and_the_status_are_changed_apart() {
    let lab = Lab::start().await;
    let (_, made) = lab.send("POST", DEPLOYMENTS, deployment("web")).await;
    assert_eq!(made["metadata"]["generation"], 1);
    let path = format!("{DEPLOYMENTS}/web");
    let both = json!({
        "metadata": {"labels": {"by": "main"}}, "spec": {"paused": true},
        "status": {"collisionCount": 7},
    });
    let (_, main) = lab.send_as("PATCH", &path, MERGE, both.clone()).await;
    assert_eq!(main["metadata"]["generation"], 2);
    assert_eq!(
        (
            &main["spec"]["paused"],
            main["status"].get("collisionCount")
        ),
        (&json!(true), None)
    );
    let mut other = both;
    other["spec"]["paused"] = json!(false);
    let (_, status) = lab
        .send_as("PATCH", &format!("{path}/status"), MERGE, other)
        .await;
    assert_eq!(status["metadata"]["generation"], 2);
    assert_eq!(
        (
            &status["spec"]["paused"],
            &status["status"]["collisionCount"]
        ),
        (&json!(true), &json!(7))
    );
    let label = json!({"metadata": {"labels": {"by": "nobody"}}});
    let (_, labelled) = lab.send_as("PATCH", &path, MERGE, label).await;
    assert_eq!(labelled["metadata"]["generation"], 2, "labels are no spec");
    // Nor can an author decide them.
    let odd = json!({"metadata": {"generation": 99, "creationTimestamp": "2000-01-01T00:00:00Z"}});
    let (_, kept) = lab.send_as("PATCH", &path, MERGE, odd).await;
    assert_eq!(kept["metadata"]["generation"], 2);
    assert_eq!(
        kept["metadata"]["creationTimestamp"],
        made["metadata"]["creationTimestamp"]
    );
    let (code, got) = lab
        .send("GET", &format!("{path}/status"), Value::Null)
        .await;
    assert_eq!((code, &got["kind"]), (200, &json!("Deployment")));
    // A kind without a status has no such path.
    lab.send("POST", MAPS, json!({"metadata": {"name": "a"}}))
        .await;
    let (code, _) = lab
        .send("GET", &format!("{MAPS}/a/status"), Value::Null)
        .await;
    assert_eq!(code, 404);
}

#[tokio::test]
async fn names_labels_and_owners_are_checked_for_every_kind() {
    let lab = Lab::start().await;
    let long = "x".repeat(64);
    let too_long =
        format!("metadata.labels: Invalid value: \"{long}\": must be no more than 63 bytes");
    for (metadata, expected) in [
        (
            json!({}),
            "metadata.name: Required value: name or generateName is required",
        ),
        (
            json!({"name": "a_b"}),
            "metadata.name: Invalid value: \"a_b\": a lowercase RFC 1123 subdomain must consist of lower \
             case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric \
             character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (
            json!({"name": "a", "labels": {"a": long}}),
            too_long.as_str(),
        ),
        (
            json!({"name": "a", "labels": {"a/b/c": ""}}),
            "metadata.labels: Invalid value: \"a/b/c\": a qualified name must consist of alphanumeric \
             characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
             'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
             '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' \
             (e.g. 'example.com/MyName')",
        ),
        (
            json!({"name": "a", "annotations": {"a": "x".repeat(300_000)}}),
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        (
            json!({"name": "a", "finalizers": ["mine"]}),
            "metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name \
             nor is it fully qualified",
        ),
        (
            json!({"name": "a", "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "b", "uid": ""},
            ]}),
            "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
        ),
    ] {
        let (code, status) = lab.send("POST", MAPS, json!({"metadata": metadata})).await;
        let message = status["message"].as_str().unwrap();
        assert_eq!(code, 422, "{message}");
        let (_, why) = message.split_once(" is invalid: ").unwrap();
        assert_eq!(why, expected);
    }
    let (code, status) = lab
        .send(
            "POST",
            MAPS,
            json!({"metadata": {"name": "a", "resourceVersion": "7"}}),
        )
        .await;
    assert_eq!(
        (code, &status["message"]),
        (
            500,
            &json!("resourceVersion should not be set on objects to be created")
        )
    );
}
