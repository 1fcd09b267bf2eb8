//! What clients send: JSON and YAML, with fields that there are not or that are given twice.

use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use crate::lab::{Lab, pod};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// The code, the warnings and the message or the object's name.
async fn send(
    lab: &Lab,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
) -> (u16, Vec<String>, String) {
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .body(Body::from(body.as_bytes().to_vec()))
        .unwrap();
    let response = lab.client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings
        .map(|value| value.to_str().unwrap().to_owned())
        .collect();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    let text = match code {
        200 | 201 => &answer["metadata"]["name"],
        _ => &answer["message"],
    };
    (code, warnings, text.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_is_too_much_is_refused_named_or_passed_over() {
    let lab = Lab::start().await;
    const UNKNOWN: &str = r#"299 - "unknown field \"datum\"""#;
    const TWICE: &str = r#"299 - "duplicate field \"data.a\"""#;
    let json = |name: &str| {
        format!(
            r#"{{"metadata": {{"name": "{name}"}}, "datum": 1, "data": {{"a": "1", "a": "2"}}}}"#
        )
    };
    let yaml =
        |name: &str| format!("metadata: {{name: {name}}}\ndatum: 1\ndata:\n  a: '1'\n  a: '2'\n");
    type Written<'a> = &'a dyn Fn(&str) -> String;
    let forms: [(&str, &str, Written<'_>); 2] = [("json", JSON, &json), ("yaml", YAML, &yaml)];
    for (name, form, body) in forms {
        for (index, (query, warnings)) in [
            ("?fieldValidation=Ignore", &[][..]),
            ("?fieldValidation=Warn", &[TWICE, UNKNOWN]),
            // What the server does where nothing is asked.
            ("", &[TWICE, UNKNOWN]),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("{name}-{index}");
            let path = format!("{MAPS}{query}");
            let (code, warned, text) = send(&lab, "POST", &path, form, &body(&name)).await;
            assert_eq!((code, &text), (201, &name));
            assert_eq!(warned, warnings, "{path}");
            let path = format!("{MAPS}/{name}{query}");
            let (code, warned, _) = send(&lab, "PUT", &path, form, &body(&name)).await;
            assert_eq!((code, warned.len()), (200, warnings.len()), "{path}");
            let (_, kept) = lab.send("GET", &path, Value::Null).await;
            assert_eq!(kept["data"], json!({"a": "2"}), "the last one counts");
            assert_eq!(kept.get("datum"), None);
        }
        let strict = format!("{MAPS}?fieldValidation=Strict");
        let (code, _, message) = send(&lab, "POST", &strict, form, &body("strict")).await;
        assert_eq!(
            (code, message.as_str()),
            (
                400,
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: \
                 duplicate field \"data.a\", unknown field \"datum\""
            )
        );
    }
}

#[tokio::test]
async fn patches_are_held_to_the_same() {
    let lab = Lab::start().await;
    lab.send("POST", PODS, pod("web")).await;
    let path = format!("{PODS}/web");
    const BODY: &str = r#"{"spec": {"foo": 1}, "metadata": {"labels": {"a": "1", "a": "2"}}}"#;
    const WARNINGS: [&str; 2] = [
        r#"299 - "duplicate field \"metadata.labels.a\"""#,
        r#"299 - "unknown field \"spec.foo\"""#,
    ];
    for form in [MERGE, STRATEGIC] {
        let (code, warned, _) = send(&lab, "PATCH", &path, form, BODY).await;
        assert_eq!((code, &warned[..]), (200, &WARNINGS.map(str::to_owned)[..]));
        let ignored = format!("{path}?fieldValidation=Ignore");
        let (code, warned, _) = send(&lab, "PATCH", &ignored, form, BODY).await;
        assert_eq!((code, warned.len()), (200, 0));
        let strict = format!("{path}?fieldValidation=Strict");
        let (code, _, message) = send(&lab, "PATCH", &strict, form, BODY).await;
        assert_eq!(code, 422, "{message}");
        assert!(
            message.starts_with(r#" "" is invalid: patch: Invalid value: ""#),
            "{message}"
        );
        let why = r#"strict decoding error: duplicate field "metadata.labels.a", unknown field "spec.foo""#;
        assert!(message.ends_with(why), "{message}");
    }
    let (_, _, message) = send(
        &lab,
        "PATCH",
        &format!("{path}?fieldValidation=Strict"),
        STRATEGIC,
        r#"{"spec": {"foo": [1, "x", true]}}"#,
    )
    .await;
    assert!(
        message.contains(r#""map[spec:map[foo:[1 x true]]]""#),
        "{message}"
    );
    let json_patch = r#"[{"op": "add", "path": "/spec/foo", "value": 1}]"#;
    let (code, warned, _) = send(
        &lab,
        "PATCH",
        &path,
        "application/json-patch+json",
        json_patch,
    )
    .await;
    assert_eq!((code, &warned[..]), (200, &[WARNINGS[1].to_owned()][..]));
    let typed = r#"{"spec": {"containers": 7}}"#;
    let (code, _, message) = send(&lab, "PATCH", &path, MERGE, typed).await;
    assert_eq!(code, 422, "{message}");

    let applied = "kind: ConfigMap\napiVersion: v1\ndata: {a: '1', a: '2'}\ndatum: x\n";
    let apply = format!("{MAPS}/applied?fieldManager=test");
    let (code, warned, _) = send(&lab, "PATCH", &apply, APPLY, applied).await;
    assert_eq!((code, warned.len()), (201, 2), "{warned:?}");
    let strict = format!("{apply}&fieldValidation=Strict");
    let (code, _, message) = send(&lab, "PATCH", &strict, APPLY, applied).await;
    assert_eq!(code, 400, "{message}");
}

#[tokio::test]
async fn a_body_that_is_none_is_refused() {
    let lab = Lab::start().await;
    let wrong_kind = r#"{"kind": "Pod", "apiVersion": "v1"}"#;
    let wrong_version = r#"{"kind": "ConfigMap", "apiVersion": "v2"}"#;
    for (form, body, code, why) in [
        (JSON, "{", 400, "cannot be handled as a ConfigMap"),
        (YAML, "a: [", 400, "cannot be handled as a ConfigMap"),
        (
            JSON,
            r#"{"data": {"a": 1}}"#,
            400,
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal \
             number into Go struct field ConfigMap.data of type string",
        ),
        (JSON, wrong_kind, 400, "the kind in the data (Pod)"),
        (JSON, wrong_version, 400, "the API version in the data (v2)"),
        ("application/cbor", "{}", 415, "unknown format"),
        ("text/plain", "{}", 415, "unknown format"),
    ] {
        let (got, _, message) = send(&lab, "POST", MAPS, form, body).await;
        assert_eq!(got, code, "{body}: {message}");
        assert!(message.contains(why), "{body}: {message}");
    }
}

#[tokio::test]
async fn a_flood_of_mistakes_is_not_answered_with_one() {
    let lab = Lab::start().await;
    let unknown: Vec<String> = (0..50_000)
        .map(|n| format!(r#""f{n}": 1, "f{n}": 2"#))
        .collect();
    let body = format!(
        r#"{{"metadata": {{"name": "flood"}}, {}, "{}": 1}}"#,
        unknown.join(", "),
        "x".repeat(1 << 20)
    );
    let (code, warned, name) = send(&lab, "POST", MAPS, JSON, &body).await;
    assert_eq!((code, name.as_str()), (201, "flood"));
    let length: usize = warned.iter().map(String::len).sum();
    assert!(!warned.is_empty() && length < 8192, "{length}");
    let strict = format!("{MAPS}?fieldValidation=Strict");
    let (code, _, message) = send(&lab, "POST", &strict, JSON, &body).await;
    assert_eq!(code, 400);
    assert_eq!(message.matches("duplicate field").count(), 100);
}

#[tokio::test]
async fn metadata_can_be_had_alone() {
    let lab = Lab::start().await;
    let map = json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"k": "v"}});
    lab.send("POST", MAPS, map).await;
    let api: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(lab.client.clone(), "default");
    let one = api.get_metadata("a").await.unwrap();
    assert_eq!(one.metadata.labels.unwrap()["x"], "y");
    let list = api
        .list_metadata(&kube::api::ListParams::default().labels("x=y"))
        .await
        .unwrap();
    assert_eq!(list.items.len(), 1);
    assert!(list.metadata.resource_version.is_some());
    let watch = kube::api::WatchParams::default();
    let mut events = std::pin::pin!(api.watch_metadata(&watch, "0").await.unwrap());
    let event = futures::StreamExt::next(&mut events)
        .await
        .unwrap()
        .unwrap();
    let kube::core::WatchEvent::Added(object) = event else {
        panic!("{event:?}");
    };
    assert_eq!(object.metadata.name.as_deref(), Some("a"));
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let raw = lab.get_as(&format!("{MAPS}/a"), accept).await;
    assert_eq!(
        (&raw["kind"], raw.get("data")),
        (&json!("PartialObjectMetadata"), None)
    );
}
