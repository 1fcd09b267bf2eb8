//! Who is served, and in which form.

use std::process::Command;

use podnet::cluster::kubeconfig;
use podnet::cluster::pki::Authority;
use serde_json::{Value, json};

use crate::lab::{Lab, connect, pod};

#[tokio::test]
async fn a_stranger_gets_nothing() {
    let lab = Lab::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let ours = Authority::load_or_create(&lab.pki(), "test").unwrap();
    let theirs = Authority::load_or_create(elsewhere.path(), "other").unwrap();
    let identity = theirs.client_identity("admin", "system:masters").unwrap();
    let text = kubeconfig::render("test", &lab.url, ours.certificate_pem(), &identity);
    let client = connect(&text).await;
    assert!(client.apiserver_version().await.is_err());
    assert!(lab.client.apiserver_version().await.is_ok());
}

#[tokio::test]
async fn without_a_certificate_there_is_not_even_health() {
    let lab = Lab::start().await;
    let authority = Authority::load_or_create(&lab.pki(), "test").unwrap();
    let identity = authority
        .client_identity("admin", "system:masters")
        .unwrap();
    let text = kubeconfig::render("test", &lab.url, authority.certificate_pem(), &identity);
    let anonymous: String = text
        .lines()
        .filter(|line| !line.contains("client-"))
        .map(|line| match line {
            "  user:" => "  user: {}\n".to_owned(),
            line => format!("{line}\n"),
        })
        .collect();
    let client = connect(&anonymous).await;
    let request = hyper::Request::get("/healthz").body(Vec::new()).unwrap();
    assert!(client.request_text(request).await.is_err());
}

#[tokio::test]
async fn discovery_and_health() {
    let lab = Lab::start().await;
    let version = lab.client.apiserver_version().await.unwrap();
    assert_eq!(version.git_version, "v1.33.0+podnet");
    let (_, groups) = lab.send("GET", "/apis", Value::Null).await;
    assert_eq!(groups["groups"][0]["name"], "apps");
    let (code, _) = lab.send("GET", "/readyz", Value::Null).await;
    assert_eq!(code, 200);
    for (method, path, code, reason) in [
        ("GET", "/api/v1/unicorns", 404, "NotFound"),
        ("GET", "/apis/batch/v1/jobs", 404, "NotFound"),
        ("GET", "/openapi/v1", 404, "NotFound"),
        ("PUT", "/api/v1/nodes", 405, "MethodNotAllowed"),
        ("DELETE", "/version", 405, "MethodNotAllowed"),
        ("GET", "/api/v1/nodes/a/status/more", 404, "NotFound"),
    ] {
        let (got, status) = lab.send(method, path, Value::Null).await;
        assert_eq!(
            (got, &status["reason"]),
            (code, &json!(reason)),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let lab = Lab::start().await;
    let mut big = pod("big");
    big["metadata"]["annotations"] = json!({"a": "x".repeat(4 << 20)});
    let (code, status) = lab
        .send("POST", "/api/v1/namespaces/default/pods", big)
        .await;
    assert_eq!(
        (code, &status["reason"]),
        (413, &json!("RequestEntityTooLarge"))
    );
}

#[tokio::test]
async fn headers_have_a_limit() {
    let lab = Lab::start().await;
    let request = hyper::Request::get("/readyz")
        .header("x-long", "x".repeat(1 << 20))
        .body(kube::client::Body::empty())
        .unwrap();
    let refused = match lab.client.send(request).await {
        Ok(response) => response.status().is_client_error(),
        Err(_) => true,
    };
    assert!(refused);
    let (code, _) = lab.send("GET", "/readyz", Value::Null).await;
    assert_eq!(code, 200, "others are served");
}

#[tokio::test]
async fn tables_have_the_columns_of_kubernetes() {
    let lab = Lab::start().await;
    lab.send("POST", "/api/v1/namespaces/default/pods", pod("web"))
        .await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let names = |table: &Value| -> Vec<String> {
        let columns = table["columnDefinitions"].as_array().unwrap();
        columns
            .iter()
            .map(|column| column["name"].as_str().unwrap().into())
            .collect()
    };
    for (path, first_row) in [
        ("/api/v1/namespaces/default/pods", "web"),
        ("/api/v1/namespaces/default/pods/web", "web"),
        ("/api/v1/namespaces", "default"),
    ] {
        let table = lab.get_as(path, accept).await;
        assert_eq!(table["kind"], "Table", "{path}");
        assert_eq!(table["rows"][0]["cells"][0], first_row, "{path}");
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(
            table["rows"][0]["cells"].as_array().unwrap().len(),
            names(&table).len()
        );
    }
    let table = lab
        .get_as("/api/v1/nodes?includeObject=Object", accept)
        .await;
    assert_eq!(
        names(&table),
        [
            "Name",
            "Status",
            "Roles",
            "Age",
            "Version",
            "Internal-IP",
            "External-IP",
            "OS-Image",
            "Kernel-Version",
            "Container-Runtime"
        ]
    );
    let refused = lab.get_as("/api/v1/nodes", "application/yaml").await;
    assert_eq!(refused["reason"], "NotAcceptable");
}

#[tokio::test]
async fn kubectl_works_where_there_is_one() {
    let lab = Lab::start().await;
    let path = lab.pki().join("kubeconfig");
    kubeconfig::write_private(&path, &lab.kubeconfig()).unwrap();
    let kubectl = |arguments: &str| {
        let (path, arguments) = (path.clone(), arguments.to_owned());
        tokio::task::spawn_blocking(move || {
            Command::new("kubectl")
                .env("KUBECONFIG", path)
                .args(arguments.split(' '))
                .output()
        })
    };
    if kubectl("version --client").await.unwrap().is_err() {
        eprintln!("skipped: there is no kubectl on the path");
        return;
    }
    let manifest = lab.pki().join("pod.json");
    std::fs::write(&manifest, pod("file").to_string()).unwrap();
    let create = format!("create -f {}", manifest.display());
    for (arguments, expected) in [
        (create.as_str(), "pod/file created"),
        ("run web --image=pause", "pod/web created"),
        ("label pod web app=web", "pod/web labeled"),
        ("get pods -l app=web -o name", "pod/web"),
        ("get pods -o wide", "NOMINATED NODE"),
        ("api-resources", "coordination.k8s.io/v1"),
        ("delete pod web", "deleted"),
        ("create namespace shop", "namespace/shop created"),
        ("delete namespace shop", "namespace \"shop\" deleted"),
        ("get namespaces", "kube-node-lease"),
    ] {
        let output = kubectl(arguments).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(expected), "kubectl {arguments}: {output:?}");
    }
}
