//! Every verb can be tried without leaving a trace.

use serde_json::{Value, json};

use crate::lab::{Lab, pod, ready_node};

const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

async fn get(lab: &Lab, path: &str) -> Value {
    lab.send("GET", path, Value::Null).await.1
}

#[tokio::test]
async fn nothing_is_left_of_a_dry_run() {
    let lab = Lab::start().await;
    let (code, shown) = lab
        .send("POST", &format!("{PODS}?dryRun=All"), pod("web"))
        .await;
    assert_eq!(
        (code, &shown["spec"]["dnsPolicy"]),
        (201, &json!("ClusterFirst"))
    );
    lab.send("POST", "/api/v1/nodes", ready_node("node-1"))
        .await;
    let mut held = pod("web");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    lab.send("POST", PODS, held).await;
    let set = json!({
        "metadata": {"name": "set"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "main", "image": "a"}]},
        }},
    });
    lab.send("POST", SETS, set).await;
    let (path, set) = (format!("{PODS}/web"), format!("{SETS}/set"));
    let before = get(&lab, &path).await;
    let spec_of_set = get(&lab, &set).await["spec"].clone();
    let mut put = before.clone();
    put["metadata"]["labels"] = json!({"a": "b"});
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let applied = json!({"kind": "Pod", "apiVersion": "v1", "metadata": label["metadata"]});
    let phase = json!({"status": {"phase": "Failed"}});
    let binding = json!({"target": {"kind": "Node", "name": "node-1"}});
    let eviction =
        json!({"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "web"}});
    let in_body = json!({"dryRun": ["All"]});
    let more = json!({"spec": {"replicas": 3}});
    const APPLY: &str = "application/apply-patch+yaml";
    let all = "dryRun=All";
    for (method, at, form, body) in [
        ("PUT", format!("{path}?{all}"), JSON, put),
        ("PATCH", format!("{path}?{all}"), MERGE, label),
        (
            "PATCH",
            format!("{path}?{all}&fieldManager=test"),
            APPLY,
            applied,
        ),
        ("PATCH", format!("{path}/status?{all}"), MERGE, phase),
        ("POST", format!("{path}/binding?{all}"), JSON, binding),
        ("POST", format!("{path}/eviction?{all}"), JSON, eviction),
        ("DELETE", format!("{path}?{all}"), JSON, Value::Null),
        ("DELETE", path.clone(), JSON, in_body.clone()),
        ("DELETE", format!("{PODS}?{all}"), JSON, Value::Null),
        ("DELETE", PODS.to_owned(), JSON, in_body),
        ("PATCH", format!("{set}/scale?{all}"), MERGE, more),
    ] {
        let (code, answer) = lab.send_as(method, &at, form, body).await;
        assert!(matches!(code, 200 | 201), "{method} {at}: {answer}");
        assert_eq!(get(&lab, &path).await, before, "{method} {at}");
        assert_eq!(get(&lab, &set).await["spec"], spec_of_set, "{method} {at}");
    }
}

#[tokio::test]
async fn an_address_that_is_only_shown_is_still_free() {
    let lab = Lab::start().await;
    let service = |name: &str, address: &Value| {
        json!({
            "metadata": {"name": name},
            "spec": {
                "type": "NodePort", "clusterIP": address,
                "ports": [{"port": 80, "nodePort": 30080}],
            },
        })
    };
    let dry = format!("{SERVICES}?dryRun=All");
    let (code, shown) = lab.send("POST", &dry, service("a", &Value::Null)).await;
    assert_eq!(code, 201, "{shown}");
    let taken = service("b", &shown["spec"]["clusterIP"]);
    let (code, taken) = lab.send("POST", SERVICES, taken).await;
    assert_eq!(code, 201, "{taken}");
}
