//! kill -9 of the server at any moment: nothing it acknowledged is lost.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use podnet::cluster::kubeconfig;
use podnet::cluster::pki::Authority;
use tokio::task::JoinSet;

const CLIENTS: usize = 8;
/// Acknowledged writes after which each round's kill comes: early, in the middle of full load, late.
const ROUNDS: [usize; 4] = [1, 40, 150, 400];

/// A server process; killed when dropped.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(dir: &Path) -> Process {
        let ready = dir.join("ready");
        let _ = std::fs::remove_file(&ready);
        let mut child = Command::new(env!("CARGO_BIN_EXE_podnet"))
            .args(["server", "--listen", "127.0.0.1:0", "--store"])
            .arg(dir.join("store"))
            .arg("--pki")
            .arg(dir.join("pki"))
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let addresses = loop {
            if let Ok(addresses) = std::fs::read_to_string(&ready) {
                break addresses;
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server ended: {status}");
            }
            assert!(
                std::time::Instant::now() < deadline,
                "the server is never ready"
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        Process {
            child,
            url: format!("https://{}", addresses.trim()),
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already dead in the good case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn leases(dir: &Path, url: &str) -> Api<Lease> {
    let authority = Authority::load_or_create(&dir.join("pki"), "kill").unwrap();
    let identity = authority
        .client_identity("tester", "system:masters")
        .unwrap();
    let text = kubeconfig::render("kill", url, authority.certificate_pem(), &identity);
    let config = Kubeconfig::from_yaml(&text).unwrap();
    let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .unwrap();
    // A dead server is what this is about: no waiting for it to come back.
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(5));
    Api::default_namespaced(Client::try_from(config).unwrap())
}

/// Creates leases until the server stops answering; what was acknowledged, with its version.
async fn hammer(
    leases: Api<Lease>,
    prefix: String,
    acknowledged: Arc<AtomicUsize>,
) -> HashMap<String, String> {
    let mut known = HashMap::new();
    for index in 0.. {
        let mut lease = Lease::default();
        lease.metadata.name = Some(format!("{prefix}-{index}"));
        match leases.create(&PostParams::default(), &lease).await {
            Ok(created) => {
                acknowledged.fetch_add(1, Ordering::Relaxed);
                known.insert(created.name_any(), created.resource_version().unwrap());
            }
            Err(_) => break,
        }
    }
    known
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    let authority = Authority::load_or_create(&pki, "kill").unwrap();
    let identity = authority.server_identity(&["127.0.0.1".into()]).unwrap();
    identity.write(&pki, "server").unwrap();

    let mut known: HashMap<String, String> = HashMap::new();
    for (round, enough) in ROUNDS.into_iter().enumerate() {
        let server = Process::start(dir.path());
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let api = leases(dir.path(), &server.url).await;
            let prefix = format!("r{round}-c{client}");
            clients.spawn(hammer(api, prefix, acknowledged.clone()));
        }
        while acknowledged.load(Ordering::Relaxed) < enough {
            tokio::task::yield_now().await;
        }
        server.kill();
        for written in clients.join_all().await {
            known.extend(written);
        }

        let server = Process::start(dir.path());
        let api = leases(dir.path(), &server.url).await;
        let list = api.list(&ListParams::default()).await.unwrap();
        let found: HashMap<String, String> = list
            .items
            .iter()
            .map(|lease| (lease.name_any(), lease.resource_version().unwrap()))
            .collect();
        for (name, version) in &known {
            assert_eq!(found.get(name), Some(version), "{name} after round {round}");
        }
        // Unacknowledged ones may have survived, but no version is ever given twice.
        let mut versions: Vec<&String> = found.values().collect();
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), found.len());
        server.kill();
    }
}
