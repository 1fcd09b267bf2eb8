//! What is measured from inside the lab: its API at one hop, its nodes'
//! namespaces, its processes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use podnet::cluster::{self, CLAIM_NAMESPACE, Reach, list_nodes, list_pods, watch_pods};
use podnet::insight::check::ping_all;
use podnet::kernel::Kernel;
use podnet::kernel::linux::{Linux, in_netns};
use podnet::lab::LabDir;
use podnet::lab::control::node_network;
use podnet::lab::topology::LabName;
use podnet::model::{Family, NodeName};

use super::processes;

/// Objects created at a time.
const CREATES_AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(words: &[&str]) -> Result<()> {
    match words {
        ["memory", name] => {
            println!("{}", processes::private_kilobytes(name)?);
            Ok(())
        }
        ["join", node] => tokio()?.block_on(join(node)),
        ["pods", count] => {
            let count = count.parse()?;
            tokio()?.block_on(pods(count))
        }
        _ => bail!("inside memory NAME | join NODE | pods COUNT"),
    }
}

fn tokio() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

async fn client() -> Result<Client> {
    let kubeconfig = std::env::var("KUBECONFIG").context("KUBECONFIG")?;
    Ok(cluster::connect(Path::new(&kubeconfig)).await?)
}

fn netns_of(node: &NodeName) -> Result<OwnedFd> {
    let lab = LabDir::new(&LabName::new(&std::env::var("PODNET_LAB")?)?);
    node_network(&lab, node)?.context("the node is of this lab")
}

/// Says `watching`, then the milliseconds from the claim to the last route.
async fn join(node: &str) -> Result<()> {
    let client = client().await?;
    let kernels: Vec<Linux> = list_nodes(&client)
        .await?
        .iter()
        .map(|node| Ok(in_netns(netns_of(&node.name)?.as_fd(), Linux::open)??))
        .collect::<Result<_>>()?;
    let leases: Api<Lease> = Api::namespaced(client, CLAIM_NAMESPACE);
    let mut changes = std::pin::pin!(watcher(leases, watcher::Config::default()));
    let held = |lease: &Lease| {
        let holder = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.as_deref());
        holder == Some(node)
    };
    let claimed = loop {
        match changes.next().await.context("the watch ended")?? {
            Event::InitDone => println!("watching"),
            Event::Apply(lease) if held(&lease) => break lease.name_any(),
            _ => {}
        }
    };
    let start = Instant::now();
    let has = |kernel: &&Linux| {
        let routes = kernel
            .observe(&[])
            .map(|seen| seen.routes)
            .unwrap_or_default();
        routes
            .iter()
            .any(|route| podnet::ipam::lease_name(route.destination) == claimed)
    };
    let mut waiting: Vec<&Linux> = kernels.iter().collect();
    while !waiting.is_empty() {
        waiting.retain(|kernel| !has(kernel));
        if start.elapsed() > PATIENCE {
            bail!("{} nodes have no route to {node}", waiting.len());
        }
    }
    println!("{:.3}", start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Milliseconds from the first object's creation until every pod answers an
/// echo request from another node than most are on.
async fn pods(count: usize) -> Result<()> {
    let client = client().await?;
    let nodes = list_nodes(&client).await?;
    let first = nodes.first().context("a node")?.name.clone();
    let netns = netns_of(&first)?;
    let watched: Vec<_> = nodes
        .iter()
        .map(|n| watch_pods(&client, &n.name, &Reach::default()).boxed())
        .collect();
    let mut changes = futures::stream::select_all(watched);
    let start = Instant::now();
    let creating = create(&client, count);
    let running = async {
        let mut running: BTreeMap<String, IpAddr> = BTreeMap::new();
        while running.len() < count {
            match changes.next().await.context("the watch ended")? {
                cluster::Change::Set(pod) | cluster::Change::Found(pod) => {
                    if let Some(address) = pod.address.filter(|_| pod.phase == "Running") {
                        running.insert(pod.uid, address);
                    }
                }
                _ => {}
            }
        }
        anyhow::Ok(running)
    };
    let both = async { futures::try_join!(creating, running) };
    let ((), running) = match tokio::time::timeout(PATIENCE, both).await {
        Ok(done) => done?,
        Err(_) => {
            let pods = list_pods(&client).await?;
            let up = pods.iter().filter(|pod| pod.phase == "Running").count();
            bail!("{up} of {count} pods run");
        }
    };
    let addresses: Vec<IpAddr> = running.into_values().collect();
    let answered = in_netns(netns.as_fd(), || ping_all(Family::V4, &addresses))??;
    let took = start.elapsed();
    if answered.len() < count {
        bail!("{} of {count} pods answer", answered.len());
    }
    println!("{:.3}", took.as_secs_f64() * 1e3);
    Ok(())
}

async fn create(client: &Client, count: usize) -> Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let created = futures::stream::iter(0..count).map(|n| {
        let pods = pods.clone();
        async move {
            let pod: Pod = serde_json::from_value(serde_json::json!({
                "metadata": {"name": format!("pod-{n}")},
                "spec": {"containers": [{"name": "pause", "image": "pause"}]},
            }))?;
            pods.create(&PostParams::default(), &pod).await?;
            anyhow::Ok(())
        }
    });
    let mut created = created.buffer_unordered(CREATES_AT_ONCE);
    while let Some(one) = created.next().await {
        one?;
    }
    Ok(())
}
