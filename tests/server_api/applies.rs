//! Server-side apply: who owns which fields, and what happens where two want the same one.

use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::lab::{Lab, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";
const APPLY: &str = "application/apply-patch+yaml";

async fn apply(lab: &Lab, query: &str, config: Value) -> (u16, Value) {
    lab.send_as("PATCH", &format!("{PODS}/web?{query}"), APPLY, config)
        .await
}

fn labelled(labels: Value) -> Value {
    let mut config = pod("web");
    config["metadata"]["labels"] = labels;
    config
}

fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| {
            format!(
                "{} {} {}",
                entry["manager"].as_str().unwrap(),
                entry["operation"].as_str().unwrap(),
                entry["subresource"].as_str().unwrap_or("-")
            )
        })
        .collect()
}

#[tokio::test]
async fn an_object_is_applied_again_and_again() {
    let lab = Lab::start().await;
    let (code, created) = apply(&lab, "fieldManager=me", labelled(json!({"a": "1"}))).await;
    assert_eq!(code, 201, "{created}");
    assert_eq!(created["spec"]["restartPolicy"], "Always", "as created");
    assert_eq!(managers(&created), ["me Apply -"]);
    let (code, same) = apply(&lab, "fieldManager=me", labelled(json!({"a": "1"}))).await;
    assert_eq!((code, &same), (200, &created), "nothing changed");
    let (code, changed) = apply(&lab, "fieldManager=me", labelled(json!({"b": "2"}))).await;
    assert_eq!(
        (code, &changed["metadata"]["labels"]),
        (200, &json!({"b": "2"}))
    );
    assert_eq!(changed["spec"]["restartPolicy"], "Always", "nobody's");
    let dry = "fieldManager=me&dryRun=All";
    let (code, shown) = apply(&lab, dry, labelled(json!({"c": "3"}))).await;
    assert_eq!(
        (code, &shown["metadata"]["labels"]),
        (200, &json!({"c": "3"}))
    );
    let (_, kept) = lab.send("GET", &format!("{PODS}/web"), Value::Null).await;
    assert_eq!(kept, changed);
}

#[tokio::test]
async fn everybody_who_writes_is_noted() {
    let lab = Lab::start().await;
    apply(&lab, "fieldManager=me", labelled(json!({"a": "1"}))).await;
    let path = format!("{PODS}/web");
    let merge = "application/merge-patch+json";
    let status = json!({"status": {"phase": "Running"}});
    let as_agent = format!("{path}/status?fieldManager=agent");
    lab.send_as("PATCH", &as_agent, merge, status).await;
    let label = json!({"metadata": {"labels": {"a": "2"}}});
    let as_editor = format!("{path}?fieldManager=editor");
    let (_, edited) = lab.send_as("PATCH", &as_editor, merge, label).await;
    assert_eq!(
        managers(&edited),
        ["me Apply -", "agent Update status", "editor Update -"]
    );
    assert_eq!(
        edited["metadata"]["managedFields"][1]["fieldsV1"],
        json!({"f:status": {"f:phase": {}}})
    );

    let (code, refused) = apply(&lab, "fieldManager=me", labelled(json!({"a": "3"}))).await;
    assert_eq!((code, &refused["reason"]), (409, &json!("Conflict")));
    let cause = &refused["details"]["causes"][0];
    assert_eq!(
        (&cause["reason"], &cause["field"]),
        (&json!("FieldManagerConflict"), &json!(".metadata.labels.a"))
    );
    let forced = "fieldManager=me&force=true";
    let (code, taken) = apply(&lab, forced, labelled(json!({"a": "3"}))).await;
    assert_eq!(
        (code, &taken["metadata"]["labels"]["a"]),
        (200, &json!("3"))
    );
    assert_eq!(managers(&taken), ["me Apply -", "agent Update status"]);
}

#[tokio::test]
async fn an_application_is_checked_like_any_object() {
    let lab = Lab::start().await;
    apply(&lab, "fieldManager=me", pod("web")).await;
    let mut misspelt = pod("web");
    misspelt["spec"]["foo"] = json!(1);
    let mut other = pod("web");
    other["metadata"]["name"] = json!("other");
    let mut moved = pod("web");
    moved["spec"]["hostNetwork"] = json!(true);
    let mut stale = pod("web");
    stale["metadata"]["resourceVersion"] = json!("1");
    for (query, config, code) in [
        ("fieldManager=me&fieldValidation=Strict", misspelt, 400),
        ("fieldManager=me", other, 400),
        ("fieldManager=me", moved, 422),
        ("fieldManager=me", stale, 409),
        ("", pod("web"), 422),
        ("fieldManager=me", json!("text"), 400),
    ] {
        let (got, status) = apply(&lab, query, config).await;
        assert_eq!(got, code, "{query}: {status}");
    }
    let path = format!("{PODS}/nowhere/status?fieldManager=me");
    let (code, _) = lab.send_as("PATCH", &path, APPLY, pod("nowhere")).await;
    assert_eq!(code, 404);
}

#[tokio::test]
async fn an_application_is_yaml_within_bounds() {
    let lab = Lab::start().await;
    let path = format!("{PODS}/web?fieldManager=me");
    let written = "metadata:\n  name: web\nspec:\n  schedulerName: nobody\n  containers:\n  - name: main\n    \
                   image: pause\n";
    let doubled: String = (1..60)
        .map(|n| format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1))
        .collect();
    for (text, code) in [
        (written.to_owned(), 201),
        (format!("metadata: {}", "[".repeat(100_000)), 400),
        (
            format!("a: {}{}", "[".repeat(2_000), "]".repeat(2_000)),
            400,
        ),
        (format!("a0: &a0 [x]\n{doubled}"), 400),
    ] {
        let (got, status) = lab.send_text("PATCH", &path, APPLY, text).await;
        assert_eq!(got, code, "{status}");
    }
    // Many small applications do not make one large object.
    let text = "x".repeat(2 << 20);
    for (key, expected) in [("message", 201), ("reason", 413)] {
        let config = json!({"involvedObject": {}, key: text});
        let path = format!("/api/v1/namespaces/default/events/e?fieldManager={key}");
        let (code, status) = lab.send_as("PATCH", &path, APPLY, config).await;
        assert_eq!(code, expected, "{}", status["message"]);
    }
}

#[tokio::test]
async fn kubectl_applies_on_the_server() {
    let lab = Lab::start().await;
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    let file = kubectl.file("web.json", &labelled(json!({"a": "1"})));
    let server_side = ["apply", "--server-side", "-f", &file];
    let printed = kubectl.ok(&server_side).await;
    assert_eq!(printed, "pod/web serverside-applied\n");
    kubectl
        .ok(&["label", "--overwrite", "pod", "web", "a=2"])
        .await;
    let refused = kubectl.refused(&server_side).await;
    assert!(
        refused.contains("conflict with \"kubectl-label\"")
            && refused.contains(".metadata.labels.a"),
        "{refused}"
    );
    kubectl
        .ok(&["apply", "--server-side", "--force-conflicts", "-f", &file])
        .await;
    let label = "jsonpath={.metadata.labels.a}";
    assert_eq!(kubectl.ok(&["get", "pod", "web", "-o", label]).await, "1");

    // What was applied by the client before goes on with the server.
    let mut moved = labelled(json!({"a": "1", "b": "1"}));
    moved["metadata"]["name"] = json!("moved");
    let file = kubectl.file("moved.json", &moved);
    kubectl.ok(&["apply", "-f", &file]).await;
    moved["metadata"]["labels"] = json!({"a": "2"});
    kubectl.file("moved.json", &moved);
    kubectl.ok(&["apply", "--server-side", "-f", &file]).await;
    let labels = "jsonpath={.metadata.labels}";
    assert_eq!(
        kubectl.ok(&["get", "pod", "moved", "-o", labels]).await,
        r#"{"a":"2"}"#
    );
}
