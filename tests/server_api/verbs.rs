//! Every verb, and what it refuses.

use serde_json::{Value, json};

use crate::lab::{Lab, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn an_object_lives_through_all_verbs() {
    let lab = Lab::start().await;
    let (code, created) = lab.send("POST", PODS, pod("web")).await;
    assert_eq!(code, 201, "{created}");
    assert_eq!(created["spec"]["restartPolicy"], "Always");
    assert_eq!(created["status"]["phase"], "Pending");
    assert_eq!(created["metadata"]["generation"], 1);

    let path = format!("{PODS}/web");
    let (_, got) = lab.send("GET", &path, Value::Null).await;
    assert_eq!(got, created);

    let (_, list) = lab.send("GET", PODS, Value::Null).await;
    assert_eq!(list["kind"], "PodList");
    assert_eq!(list["items"], json!([created]));

    let mut changed = created.clone();
    changed["metadata"]["labels"] = json!({"app": "web"});
    changed["status"] = json!({"phase": "Running"});
    let (code, updated) = lab.send("PUT", &path, changed.clone()).await;
    assert_eq!(code, 200, "{updated}");
    assert_eq!(updated["metadata"]["labels"]["app"], "web");
    assert_eq!(
        updated["status"]["phase"], "Pending",
        "the main verb leaves the status alone"
    );

    let (code, conflict) = lab.send("PUT", &path, changed).await;
    assert_eq!((code, &conflict["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        conflict["message"],
        "Operation cannot be fulfilled on pods \"web\": the object has been modified; please apply \
         your changes to the latest version and try again"
    );

    let (code, deleted) = lab.send("DELETE", &path, Value::Null).await;
    assert_eq!((code, &deleted["kind"]), (200, &json!("Pod")));
    let (code, missing) = lab.send("GET", &path, Value::Null).await;
    assert_eq!(
        (code, &missing["message"]),
        (404, &json!("pods \"web\" not found"))
    );
}

#[tokio::test]
async fn every_kind_answers_every_verb() {
    let lab = Lab::start().await;
    let mut seen = 0;
    for root in [
        "/api/v1",
        "/apis/apps/v1",
        "/apis/coordination.k8s.io/v1",
        "/apis/discovery.k8s.io/v1",
        "/apis/events.k8s.io/v1",
        "/apis/networking.k8s.io/v1",
    ] {
        let (_, list) = lab.send("GET", root, Value::Null).await;
        for resource in list["resources"].as_array().unwrap() {
            let name = resource["name"].as_str().unwrap();
            if name.contains('/') {
                continue;
            }
            seen += 1;
            let collection = match resource["namespaced"] == true {
                true => format!("{root}/namespaces/default/{name}"),
                false => format!("{root}/{name}"),
            };
            let (code, all) = lab.send("GET", &collection, Value::Null).await;
            let kind = format!("{}List", resource["kind"].as_str().unwrap());
            assert_eq!((code, &all["kind"]), (200, &json!(kind)), "{collection}");
            let missing = format!("{collection}/none-such");
            for (method, body) in [
                ("GET", Value::Null),
                ("DELETE", Value::Null),
                ("PATCH", json!({"metadata": {"labels": {"a": "b"}}})),
            ] {
                let merge = "application/merge-patch+json";
                let (code, status) = lab.send_as(method, &missing, merge, body).await;
                assert_eq!(
                    (code, &status["reason"]),
                    (404, &json!("NotFound")),
                    "{missing}"
                );
            }
            let none = format!("{collection}?labelSelector=no%3Dbody");
            let (code, deleted) = lab.send("DELETE", &none, Value::Null).await;
            let verbs = resource["verbs"].as_array().unwrap();
            match verbs.contains(&json!("deletecollection")) {
                true => assert_eq!((code, &deleted["kind"]), (200, &json!(kind)), "{none}"),
                false => assert_eq!((code, name), (405, "namespaces")),
            }
        }
    }
    assert_eq!(seen, 16, "all resources");
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_named() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("web")).await;
    let path = format!("{PODS}/web");
    let twice = json!({"propagationPolicy": "Orphan", "orphanDependents": true});
    let dry = json!({"dryRun": ["Some", "All"]});
    const NO_POLICY: &str = "propagationPolicy: Unsupported value: \"Later\": supported values: \
                             \"Foreground\", \"Background\", \"Orphan\", \"nil\"";
    const NO_DRY_RUN: &str =
        "dryRun: Unsupported value: []string{\"Some\"}: supported values: \"All\"";
    for (method, at, body, kind, why) in [
        (
            "DELETE",
            format!("{path}?dryRun=Some"),
            Value::Null,
            "Delete",
            NO_DRY_RUN,
        ),
        (
            "DELETE",
            path.clone(),
            dry,
            "Delete",
            "dryRun: Unsupported value: []string{\"Some\", \"All\"}: supported values: \"All\"",
        ),
        (
            "DELETE",
            format!("{path}?propagationPolicy=Later"),
            Value::Null,
            "Delete",
            NO_POLICY,
        ),
        (
            "DELETE",
            path.clone(),
            json!({"propagationPolicy": "Later"}),
            "Delete",
            NO_POLICY,
        ),
        (
            "DELETE",
            path.clone(),
            twice,
            "Delete",
            "propagationPolicy: Invalid value: \"Orphan\": orphanDependents and deletionPropagation \
             cannot be both set",
        ),
        (
            "POST",
            format!("{PODS}?dryRun=Some"),
            pod("b"),
            "Create",
            NO_DRY_RUN,
        ),
        (
            "PUT",
            format!("{path}?fieldValidation=Hard"),
            pod("web"),
            "Update",
            "fieldValidation: Unsupported value: \"Hard\": supported values: \"\", \"Ignore\", \
             \"Strict\", \"Warn\"",
        ),
        (
            "GET",
            format!("{PODS}?resourceVersionMatch=Exact"),
            Value::Null,
            "List",
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion \
             is provided",
        ),
    ] {
        let (code, status) = lab.send(method, &at, body).await;
        let expected = format!("{kind}Options.meta.k8s.io \"\" is invalid: {why}");
        assert_eq!((code, &status["message"]), (422, &json!(expected)), "{at}");
        assert_eq!(status["details"]["kind"], format!("{kind}Options"));
    }
}
