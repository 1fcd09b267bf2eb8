//! A server in this process with a directory of its own, and clients for it.
//!
//! Used by several test programs, of which none uses all of it.
#![allow(dead_code)]

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Pod;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use podnet::cluster::kubeconfig;
use podnet::cluster::pki::Authority;
use podnet::server::{Limits, Server, ServerConfig, ServerError, TlsFiles};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Far more than anything here takes; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Lab {
    pub client: Client,
    pub url: String,
    dir: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<Result<(), ServerError>>,
}

impl Lab {
    pub async fn start() -> Lab {
        Lab::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Lab {
        Lab::start_in(tempfile::tempdir().unwrap(), limits).await
    }

    async fn start_in(dir: tempfile::TempDir, limits: Limits) -> Lab {
        let pki = dir.path().join("pki");
        let authority = Authority::load_or_create(&pki, "test").unwrap();
        let identity = authority.server_identity(&["127.0.0.1".into()]).unwrap();
        identity.write(&pki, "server").unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let config = ServerConfig {
            store: dir.path().join("store"),
            tls: TlsFiles {
                ca: pki.join("ca.crt"),
                certificate: pki.join("server.crt"),
                key: pki.join("server.key"),
            },
            listeners: vec![listener],
            nodes_dir: Some(dir.path().join("nodes")),
            limits,
        };
        let server = Server::start(config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let client = connect(&admin(&pki, &url)).await;
        Lab {
            client,
            url,
            dir,
            stop: Some(stop),
            server,
        }
    }

    /// Stops the server in an orderly way and starts another on the same store.
    pub async fn restart(mut self) -> Lab {
        let _ = self.stop.take().unwrap().send(());
        self.server.await.unwrap().unwrap();
        Lab::start_in(self.dir, Limits::default()).await
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> String {
        let request = hyper::Request::get("/metrics").body(Vec::new()).unwrap();
        self.client.request_text(request).await.unwrap()
    }

    pub fn pki(&self) -> std::path::PathBuf {
        self.dir.path().join("pki")
    }

    pub fn kubeconfig(&self) -> String {
        admin(&self.pki(), &self.url)
    }

    pub fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// A raw request with a JSON body; the status code and the answer.
    pub async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.send_as(method, path, "application/json", body).await
    }

    pub async fn send_as(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Value,
    ) -> (u16, Value) {
        let text = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        self.send_text(method, path, content_type, text).await
    }

    /// A body in another form.
    pub async fn send_text(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: String,
    ) -> (u16, Value) {
        send_text(&self.client, method, path, content_type, body).await
    }

    /// A client with another certificate of the lab's authority.
    pub async fn client_of(&self, user: &str, group: &str) -> Client {
        connect(&kubeconfig_of(&self.pki(), &self.url, user, group)).await
    }

    /// The answer in a form of the caller's choice.
    pub async fn get_as(&self, path: &str, accept: &str) -> Value {
        let request = hyper::Request::get(path)
            .header("accept", accept)
            .body(Body::empty())
            .unwrap();
        json_of(self.client.send(request).await.unwrap()).await
    }

    /// A response with its headers, for what is not in the body.
    pub async fn respond(&self, method: &str, path: &str, body: Value) -> hyper::Response<Body> {
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string().into_bytes()))
            .unwrap();
        self.client.send(request).await.unwrap()
    }
}

/// As [`Lab::send`], for somebody else; a patch is a merge patch.
pub async fn send(client: &Client, method: &str, path: &str, body: Value) -> (u16, Value) {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let text = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    send_text(client, method, path, content_type, text).await
}

async fn send_text(
    client: &Client,
    method: &str,
    path: &str,
    content_type: &str,
    body: String,
) -> (u16, Value) {
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .body(Body::from(body.into_bytes()))
        .unwrap();
    let response = client.send(request).await.unwrap();
    (response.status().as_u16(), json_of(response).await)
}

async fn json_of(response: hyper::Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}

/// A client as a kubeconfig describes it.
pub async fn connect(kubeconfig: &str) -> Client {
    let config = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .unwrap();
    // A refusal is an answer here, however temporary it says it is.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

fn admin(pki: &Path, url: &str) -> String {
    kubeconfig_of(pki, url, "tester", "system:masters")
}

fn kubeconfig_of(pki: &Path, url: &str, user: &str, group: &str) -> String {
    let authority = Authority::load_or_create(pki, "test").unwrap();
    let identity = authority.client_identity(user, group).unwrap();
    kubeconfig::render("test", url, authority.certificate_pem(), &identity)
}

/// Waits until `check` yields something; fails with `what` if it never does.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// A pod that only the test touches: no scheduler is responsible for it.
pub fn pod(name: &str) -> Value {
    let mut pod = schedulable(name);
    pod["spec"]["schedulerName"] = json!("nobody");
    pod
}

pub fn schedulable(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "pause"}]},
    })
}

pub fn ready_node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}
