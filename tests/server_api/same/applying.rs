//! Objects that files are applied to, that are patched and replaced.

use serde_json::{Value, json};

use super::stories::{labelled, tell};
use super::{Tool, place};
use crate::lab::pod;

/// The server applies where kubectl does it itself; what becomes of the objects is the same.
#[tokio::test]
async fn what_is_applied_follows_its_file() {
    let config = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data});
    let mut web = labelled("web", json!({"a": "1", "b": "1"}));
    let first = web.clone();
    web["metadata"]["labels"] = json!({"a": "2"});
    let files = [
        (
            "ONE.json",
            json!({"apiVersion": "v1", "kind": "List", "items": [first, config(json!({"a": "1", "b": "1"}))]}),
        ),
        (
            "TWO.json",
            json!({"apiVersion": "v1", "kind": "List", "items": [web, config(json!({"a": "2"}))]}),
        ),
    ];
    let lines = [
        "apply -f ONE.json --dry-run=server",
        "apply -f ONE.json",
        "apply -f ONE.json",
        "label pod web theirs=1",
        "apply -f TWO.json --dry-run=server",
        "apply -f TWO.json",
        "apply -f TWO.json",
        "get pod web -o jsonpath={.metadata.labels}",
        "get cm settings -o jsonpath={.data}",
        "apply -f ONE.json -o name",
        "apply -f /no/such/file",
        "get pod web -o jsonpath={.metadata.labels}",
        "delete -f ONE.json --grace-period=0 --force",
        "apply --server-side -f ONE.json",
        "apply --server-side -f ONE.json",
        "get cm settings -o jsonpath={.data}",
    ];
    tell(&files, &lines).await;
}

fn with_env(value: &str) -> Value {
    let mut pod = pod("forced");
    pod["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": value}]);
    pod
}

#[tokio::test]
async fn what_is_applied_is_selected_pruned_and_forced() {
    let config = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"x": name}}});
    let mut wrong = config("wrong");
    wrong["datum"] = json!({"a": "1"});
    let files = [
        (
            "BOTH.json",
            json!({"apiVersion": "v1", "kind": "List", "items": [config("a"), config("b")]}),
        ),
        ("ONE.json", config("a")),
        ("WRONG.json", wrong),
        ("BEFORE.json", with_env("1")),
        ("AFTER.json", with_env("2")),
    ];
    let allowed = "--prune --all --prune-allowlist=core/v1/ConfigMap";
    let lines = [
        "create -f BOTH.json -l x=a",
        "create -f BOTH.json -l x=c",
        "create -f BOTH.json -l x=b --save-config --field-manager=me",
        "get cm b -o jsonpath={.metadata.managedFields[*].manager}{.metadata.annotations}",
        "delete cm a b",
        "apply -f BOTH.json -l 'x in (a,b)'",
        "apply -f BOTH.json -l x=c",
        "apply -f ONE.json --overwrite --grace-period=3 --cascade=orphan --wait",
        "apply -f ONE.json --prune",
        "apply -f ONE.json --prune --all -l x=a",
        "apply -f ONE.json --prune --all --server-side",
        "apply -f ONE.json --prune --all --prune-allowlist=core/v1/Gizmo",
        &format!("apply -f ONE.json {allowed} --dry-run=server"),
        &format!("apply -f ONE.json {allowed}"),
        "get cm -o name",
        "create -f WRONG.json",
        "create -f WRONG.json --validate=warn",
        "delete cm wrong",
        "create -f WRONG.json --validate=ignore",
        "create -f WRONG.json --validate=maybe",
        "delete cm wrong",
        "apply -f WRONG.json --validate=warn",
        "apply -f WRONG.json --validate=maybe",
        "apply -f BEFORE.json",
        "apply -f AFTER.json --force --grace-period=0 --timeout=20s",
        "get pod forced -o jsonpath={.spec.containers[0].env}",
        "apply -f AFTER.json",
        "apply -f AFTER.json --force --server-side",
        "apply -f AFTER.json --force --dry-run=server",
        "apply -f ONE.json --subresource=status",
    ];
    tell(&files, &lines).await;
}

#[tokio::test]
async fn objects_are_patched_and_replaced() {
    let config = |data: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": data}});
    let mut wrong = config("x");
    wrong["datum"] = json!(1);
    let mut stale = config("old");
    stale["metadata"]["resourceVersion"] = json!("1");
    let both = json!({"apiVersion": "v1", "kind": "List", "items": [
        config("3"), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}]});
    let files = [
        ("ONE.json", config("1")),
        ("TWO.json", config("2")),
        ("BOTH.json", both),
        ("WRONG.json", wrong),
        ("CHANGE.json", json!({"data": {"k": "changed"}})),
        ("STALE.json", stale),
    ];
    let change = r#"-p {"data":{"k":"v"}}"#;
    let data = "get cm a -o jsonpath={.data}{.metadata.managedFields[*].manager}";
    let lines = [
        "create -f ONE.json",
        &format!("patch cm a {change}"),
        &format!("patch cm a {change}"),
        &format!("patch cm a nobody {change} --dry-run=server"),
        "patch cm a --type=merge -p 'data: {k: yaml}' -o name",
        r#"patch cm/a --type=json -p [{"op":"add","path":"/data/z","value":"1"}]"#,
        "patch -f ONE.json --patch-file CHANGE.json --field-manager=me",
        data,
        "patch cm a",
        "patch cm a -p {} --patch-file CHANGE.json",
        "patch cm -p {}",
        r#"patch cm a -p {"datum":1}"#,
        "create deployment web --image=pause:1 --replicas=0",
        r#"patch deploy web --subresource=scale --type=merge -p {"spec":{"replicas":1}}"#,
        "replace -f TWO.json",
        "replace -f STALE.json",
        "replace -f ONE.json --dry-run=server",
        "replace -f ONE.json --dry-run=client",
        data,
        "label cm a --all u=1",
        "label cm --all -l x=1 u=1",
        "delete cm --all a",
        "delete cm --all nobody",
        "get cm -o name --watch=false --show-labels=false",
        "create cm twice --from-literal=a=1 --from-literal=a=2",
        "wait cm/nobody --for=create --timeout=1s",
        "replace -f WRONG.json",
        "replace -f BOTH.json",
        "replace -f BOTH.json --force",
        "get cm -o name",
        "replace -f ONE.json --force --dry-run=server",
        "replace -f ONE.json --grace-period=5",
        "replace -f ONE.json --timeout=5s",
        "replace -f ONE.json --subresource=status",
        "replace -f ONE.json --save-config -o jsonpath={.metadata.annotations}",
        "replace --raw /api/v1/namespaces/default/configmaps/b -f ONE.json",
        "get cm b -o jsonpath={.data}",
    ];
    tell(&files, &lines).await;
}

/// kubectl says it would be configured, without asking; podnet has asked.
#[tokio::test]
async fn a_forced_dry_run_deletes_nothing() {
    let Some((_lab, kubectl)) = place().await else {
        return;
    };
    let ours = Tool::Podnet(&kubectl);
    let before = kubectl.file("before.json", &with_env("1"));
    let after = kubectl.file("after.json", &with_env("2"));
    let uid = "get pod forced -o jsonpath={.metadata.uid}";
    ours.run(&format!("apply -f {before}")).await;
    let made = ours.run(uid).await.stdout;
    assert_ne!(made, "");
    let refused = ours
        .run(&format!("apply -f {after} --force --dry-run=client"))
        .await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("pod updates may not change fields"));
    assert_eq!(ours.run(uid).await.stdout, made);
}

/// Who goes from one tool to the other finds no difference.
#[tokio::test]
async fn either_tool_goes_on_where_the_other_stopped() {
    let Some((_lab, kubectl)) = place().await else {
        return;
    };
    let config = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data});
    let data = "get cm settings -o jsonpath={.data}";
    let all = kubectl.file("all.json", &config(json!({"a": "1", "b": "1", "c": "1"})));
    let some = kubectl.file("some.json", &config(json!({"a": "1", "b": "1"})));
    let one = kubectl.file("one.json", &config(json!({"a": "1"})));
    let (theirs, ours) = (Tool::Kubectl(&kubectl), Tool::Podnet(&kubectl));
    assert_eq!(
        theirs.run(&format!("apply -f {all}")).await.stdout,
        "configmap/settings created\n"
    );
    assert_eq!(
        ours.run(&format!("apply -f {some}")).await.stdout,
        "configmap/settings configured\n"
    );
    assert_eq!(theirs.run(data).await.stdout, r#"{"a":"1","b":"1"}"#);
    assert_eq!(
        ours.run(&format!("apply -f {some}")).await.stdout,
        "configmap/settings unchanged\n"
    );
    assert_eq!(
        theirs.run(&format!("apply -f {one}")).await.stdout,
        "configmap/settings configured\n"
    );
    assert_eq!(ours.run(data).await.stdout, r#"{"a":"1"}"#);

    for tool in [&ours, &theirs, &ours, &theirs] {
        assert_eq!(
            tool.run(&format!("apply -f {one}")).await.stdout,
            "configmap/settings unchanged\n"
        );
    }

    // Somebody else's value stops the one form and not the other.
    theirs
        .run("patch cm settings -p '{\"data\":{\"a\":\"theirs\"}}'")
        .await;
    let refused = ours.run(&format!("apply --server-side -f {one}")).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("conflict with \"kubectl-patch\""),
        "{}",
        refused.stderr
    );
    let forced = ours
        .run(&format!("apply --server-side --force-conflicts -f {one}"))
        .await;
    assert_eq!(forced.stdout, "configmap/settings serverside-applied\n");
    assert_eq!(ours.run(data).await.stdout, r#"{"a":"1"}"#);
}
