//! The ways in which kubectl changes what there is, on every kind that people change.

use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::lab::{Lab, pod, ready_node};

fn config(name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"}, "data": data,
    })
}

#[tokio::test]
async fn what_is_applied_follows_its_file() {
    let lab = Lab::start().await;
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    let mut web = pod("web");
    web["metadata"]["labels"] = json!({"a": "1", "b": "1"});
    web["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "1"}]);
    web["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    let all = |objects: Vec<Value>| json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let objects = all(vec![
        web.clone(),
        config("settings", json!({"a": "1", "b": "1"})),
        namespace.clone(),
        ready_node("node-1"),
    ]);
    let file = kubectl.file("all.json", &objects);
    let created = kubectl.ok(&["apply", "-f", &file]).await;
    assert_eq!(
        created,
        "pod/web created\nconfigmap/settings created\nnamespace/shop created\nnode/node-1 created\n"
    );
    let unchanged = kubectl.ok(&["apply", "-f", &file]).await;
    assert_eq!(unchanged.matches("unchanged").count(), 4, "{unchanged}");
    assert_eq!(kubectl.ok(&["diff", "-f", &file]).await, "");

    // Somebody else's label stays; what left the file goes.
    kubectl.ok(&["label", "pod", "web", "theirs=1"]).await;
    web["metadata"]["labels"] = json!({"a": "2"});
    web["spec"]["containers"][0]["image"] = json!("pause:2");
    let objects = all(vec![
        web,
        config("settings", json!({"a": "2"})),
        namespace,
        ready_node("node-1"),
    ]);
    kubectl.file("all.json", &objects);
    let difference = kubectl.run(&["diff", "-f", &file]).await;
    assert_eq!(difference.status.code(), Some(1));
    let difference = String::from_utf8(difference.stdout).unwrap();
    for line in [
        "-    a: \"1\"",
        "+    a: \"2\"",
        "-  - image: pause",
        "+  - image: pause:2",
    ] {
        let shown = difference.contains(line) || difference.contains(&line.replace("  - ", "    "));
        assert!(shown, "no {line:?} in {difference}");
    }
    let configured = kubectl.ok(&["apply", "-f", &file]).await;
    assert!(
        configured.contains("pod/web configured\nconfigmap/settings configured"),
        "{configured}"
    );
    let labels = "jsonpath={.metadata.labels}";
    assert_eq!(
        kubectl.ok(&["get", "pod", "web", "-o", labels]).await,
        r#"{"a":"2","theirs":"1"}"#
    );
    let data = "jsonpath={.data}";
    assert_eq!(
        kubectl.ok(&["get", "cm", "settings", "-o", data]).await,
        r#"{"a":"2"}"#
    );
}

#[tokio::test]
async fn a_dry_run_on_the_server_shows_and_changes_nothing() {
    let lab = Lab::start().await;
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    let file = kubectl.file("web.json", &pod("web"));
    for verb in [
        vec!["create"],
        vec!["apply"],
        vec!["apply", "--server-side"],
    ] {
        let arguments = [&verb[..], &["--dry-run=server", "-f", &file]].concat();
        let printed = kubectl.ok(&arguments).await;
        assert!(printed.contains("(server dry run)"), "{printed}");
    }
    assert_eq!(kubectl.ok(&["get", "pods", "-o", "name"]).await, "");
}

#[tokio::test]
async fn edits_replacements_and_patches() {
    let lab = Lab::start().await;
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    let objects = [
        ("pod/web", pod("web")),
        ("configmap/settings", config("settings", json!({"a": "1"}))),
        ("node/node-1", ready_node("node-1")),
        (
            "namespace/shop",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
        ),
    ];
    for (name, object) in objects {
        let mut object = object;
        object["metadata"]["labels"] = json!({"stage": "new"});
        let file = kubectl.file("object.json", &object);
        kubectl.ok(&["create", "-f", &file]).await;
        let editor = "sed -i s/stage:.new/stage:\\ edited/";
        let edited = kubectl.run_with(&["edit", name], editor).await;
        let printed = String::from_utf8_lossy(&edited.stdout);
        assert!(printed.contains(&format!("{name} edited")), "{edited:?}");
        let stage = "jsonpath={.metadata.labels.stage}";
        assert_eq!(kubectl.ok(&["get", name, "-o", stage]).await, "edited");
        for (kind, patch) in [
            (
                "strategic",
                r#"{"metadata":{"labels":{"stage":"strategic"}}}"#,
            ),
            ("merge", r#"{"metadata":{"labels":{"stage":"merge"}}}"#),
            (
                "json",
                r#"[{"op":"replace","path":"/metadata/labels/stage","value":"json"}]"#,
            ),
        ] {
            kubectl
                .ok(&["patch", name, "--type", kind, "-p", patch])
                .await;
            assert_eq!(kubectl.ok(&["get", name, "-o", stage]).await, kind);
        }
        let replaced = kubectl.ok(&["replace", "-f", &file]).await;
        assert_eq!(replaced, format!("{name} replaced\n"));
        assert_eq!(kubectl.ok(&["get", name, "-o", stage]).await, "new");
    }
}

#[tokio::test]
async fn a_misspelt_field_is_named() {
    let lab = Lab::start().await;
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    let mut misspelt = pod("web");
    misspelt["spec"]["containers"][0]["imagePullPolice"] = json!("Never");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [misspelt]});
    let file = kubectl.file("list.json", &list);
    let refused = kubectl.refused(&["create", "-f", &file]).await;
    assert!(
        refused.contains("unknown field \"imagePullPolice\" in io.k8s.api.core.v1.Container"),
        "{refused}"
    );
    let file = kubectl.file("web.json", &misspelt);
    let refused = kubectl
        .refused(&["create", "--validate=strict", "-f", &file])
        .await;
    assert!(
        refused.contains("unknown field \"spec.containers[0].imagePullPolice\""),
        "{refused}"
    );
}

#[tokio::test]
async fn fields_are_explained() {
    let lab = Lab::start().await;
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    for (what, expected) in [
        ("pod.spec.containers", "FIELD: containers <[]Container>"),
        ("pod.spec.containers.image", "FIELD: image <string>"),
        ("nodes.spec", "podCIDRs\t<[]string>"),
        ("lease.spec", "GROUP:      coordination.k8s.io"),
        ("configmap", "KIND:       ConfigMap"),
        (
            "namespace.metadata.labels",
            "FIELD: labels <map[string]string>",
        ),
    ] {
        let explained = kubectl.ok(&["explain", what]).await;
        assert!(explained.contains(expected), "{what}: {explained}");
    }
}

#[tokio::test]
async fn a_kind_that_nobody_has_is_named() {
    let lab = Lab::start().await;
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    for kind in ["Podd", "Secret"] {
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}});
        let file = kubectl.file("unknown.json", &object);
        let said = kubectl.refused(&["create", "-f", &file]).await;
        let expected = format!("no matches for kind {kind:?} in version \"v1\"");
        assert!(said.contains(&expected), "{said}");
    }
    let groups = kubectl.ok(&["api-versions"]).await;
    assert!(!groups.contains("apiextensions"), "{groups}");
    let resources = kubectl.ok(&["api-resources"]).await;
    assert!(!resources.contains("customresource"), "{resources}");
}
