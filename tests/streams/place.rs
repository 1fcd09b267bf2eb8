//! An API server, a node's service and one pod of its own for a test, in fresh namespaces.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess, LogParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use podnet::cluster::kubeconfig;
use podnet::cluster::pki::Authority;
use podnet::pod::bundle::Bundle;
use podnet::pod::kubelet::{Kubelet, SOCKET};
use podnet::pod::{NewPod, Pause, spawn};
use podnet::server::{Limits, Server, ServerConfig, TlsFiles};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::Child;

use crate::container::{shell, within};
use crate::support::{isolated, sh};

pub const POD: &str = "web";
const NODE: &str = "node-1";

pub struct Place {
    dir: tempfile::TempDir,
    pub pods: Api<Pod>,
    pub pause: Pause,
    pod_dir: PathBuf,
    pub node: tokio::task::JoinHandle<()>,
    process: Child,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Of a test that failed: whoever waits for its output waits for this process too.
        let _ = self.process.start_kill();
    }
}

/// Runs `test` with a pod that has the containers `main` and `side`, of which none runs; what is
/// left of it ends with the namespaces.
pub fn with_pod(test: impl AsyncFnOnce(&Place)) {
    isolated(|| {
        sh("ip link set lo up");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let place = Place::new().await;
            test(&place).await;
            place.pause.stop().await.expect("asked to stop");
            within("the pod ends", place.pause.ended()).await;
        });
        // What a failed client left must not hold up the end.
        runtime.shutdown_background();
    });
}

impl Place {
    async fn new() -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        let client = serve(dir.path()).await;
        let pods: Api<Pod> = Api::default_namespaced(client);
        let containers = [
            json!({"name": "main", "image": "host", "stdin": true}),
            json!({"name": "side", "image": "host"}),
        ];
        let pod = serde_json::from_value(json!({
            "metadata": {"name": POD},
            "spec": {"nodeName": NODE, "schedulerName": "nobody", "containers": containers},
        }));
        let created = pods
            .create(&PostParams::default(), &pod.expect("a pod"))
            .await;
        let uid = created.expect("created").metadata.uid.expect("a uid");
        let running = Patch::Merge(json!({"status": {"phase": "Running"}}));
        let patched = pods
            .patch_status(POD, &PatchParams::default(), &running)
            .await;
        patched.expect("it is said to run");
        let node_dir = dir.path().join("nodes").join(NODE);
        let pod_dir = node_dir.join("pods").join(&uid);
        fs::create_dir_all(&pod_dir).expect("a directory");
        let kubelet = Kubelet::bind(&node_dir.join(SOCKET), &node_dir.join("pods"));
        let kubelet = kubelet.expect("a socket");
        let node = tokio::spawn(async { match kubelet.serve().await {} });
        let (process, pause) = start_pod(&pod_dir).await;
        Place {
            dir,
            pods,
            pause,
            pod_dir,
            node,
            process,
        }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    pub fn log(&self, container: &str, attempt: u32) -> PathBuf {
        let logs = self.pod_dir.join("logs").join(container);
        logs.join(format!("{attempt}.log"))
    }

    /// Starts a shell script as the container `main`.
    pub async fn start(&self, script: &str) {
        self.start_bundle(&shell("main", script)).await;
    }

    pub async fn start_bundle(&self, bundle: &Bundle) {
        let started = within("it starts", self.pause.start(bundle)).await;
        started.expect("started");
    }

    pub async fn logs(&self, options: LogParams) -> Result<String, String> {
        let container = options.container.clone().or(Some("main".into()));
        let options = LogParams {
            container,
            ..options
        };
        let logs = within("a log", self.pods.logs(POD, &options)).await;
        logs.map_err(|error| error.to_string())
    }

    pub async fn exec(&self, command: &[&str], params: AttachParams) -> AttachedProcess {
        let params = params.container("main");
        let running = self.pods.exec(POD, command.iter().copied(), &params);
        within("exec", running).await.expect("it runs")
    }

    /// Standard output, error, and the exit code of a script that is run in `main`.
    pub async fn run(&self, script: &str) -> (String, String, i32) {
        let command = ["sh", "-c", script];
        let mut process = self.exec(&command, AttachParams::default()).await;
        let status = process.take_status().expect("a status");
        let (mut out, mut err) = (String::new(), String::new());
        let (mut stdout, mut stderr) = (process.stdout().unwrap(), process.stderr().unwrap());
        let status = within("it ends", async {
            let told = (
                stdout.read_to_string(&mut out),
                stderr.read_to_string(&mut err),
            );
            let (out, err, status) = tokio::join!(told.0, told.1, status);
            out.expect("output");
            err.expect("errors");
            status.expect("a status")
        })
        .await;
        (out, err, exit_code(&status))
    }
}

/// As kubectl reads it from the status of an exec.
pub fn exit_code(status: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Status) -> i32 {
    if status.status.as_deref() == Some("Success") {
        return 0;
    }
    let causes = status
        .details
        .as_ref()
        .and_then(|details| details.causes.as_ref());
    let code = causes
        .into_iter()
        .flatten()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.and_then(|cause| cause.message.as_ref()?.parse().ok());
    code.unwrap_or_else(|| panic!("no exit code: {status:?}"))
}

async fn serve(dir: &Path) -> Client {
    let pki = dir.join("pki");
    let authority = Authority::load_or_create(&pki, "test").expect("an authority");
    let identity = authority
        .server_identity(&["127.0.0.1".into()])
        .expect("an identity");
    identity.write(&pki, "server").expect("written");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let config = ServerConfig {
        store: dir.join("store"),
        tls: TlsFiles {
            ca: pki.join("ca.crt"),
            certificate: pki.join("server.crt"),
            key: pki.join("server.key"),
        },
        listeners: vec![listener],
        nodes_dir: Some(dir.join("nodes")),
        limits: Limits::default(),
    };
    let server = Server::start(config).await.expect("a server");
    tokio::spawn(server.run(std::future::pending()));
    let kubeconfig = dir.join("kubeconfig");
    fs::write(&kubeconfig, admin(&pki, &url)).expect("written");
    podnet::cluster::connect(&kubeconfig)
        .await
        .expect("a client")
}

fn admin(pki: &Path, url: &str) -> String {
    let authority = Authority::load_or_create(pki, "test").expect("an authority");
    let identity = authority
        .client_identity("tester", "system:masters")
        .expect("an identity");
    kubeconfig::render("test", url, authority.certificate_pem(), &identity)
}

async fn start_pod(dir: &Path) -> (Child, Pause) {
    let pod = NewPod {
        program: Path::new(env!("CARGO_BIN_EXE_podnet-pause")),
        dir,
        hostname: POD,
        ipv6: true,
        host_network: false,
    };
    let child = within("the pod starts", spawn(&pod)).await.expect("a pod");
    let pid = child.id().expect("it runs");
    sh(&format!("nsenter -t {pid} -n ip link set lo up"));
    (child, Pause::connect(dir).expect("a connection"))
}
