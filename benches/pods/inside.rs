//! What is measured from inside the lab: its API at one hop, its processes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use podnet::cluster;
use serde_json::{Value, json};

use super::processes;

/// Objects created at a time.
const CREATES_AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(120);
/// For how long the agent's time is taken.
const PROBING: Duration = Duration::from_secs(10);
const CONTAINERS_PER_POD: u32 = 4;
/// Liveness and readiness, once a second each.
const PROBES_PER_CONTAINER: u32 = 2;

pub fn run(words: &[&str]) -> Result<()> {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match words {
        ["memory", name] => {
            println!("{}", processes::private_kilobytes(name)?);
            Ok(())
        }
        ["one-by-one", count] => tokio.block_on(one_by_one(count.parse()?)),
        ["at-once", count] => tokio.block_on(at_once(count.parse()?)),
        ["probes", rate] => tokio.block_on(probes(rate.parse()?)),
        _ => bail!("inside memory NAME | one-by-one COUNT | at-once COUNT | probes RATE"),
    }
}

async fn pods() -> Result<Api<Pod>> {
    let kubeconfig = std::env::var("KUBECONFIG").context("KUBECONFIG")?;
    let client: Client = cluster::connect(Path::new(&kubeconfig)).await?;
    Ok(Api::default_namespaced(client))
}

fn pod(name: String, containers: Vec<Value>) -> Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": 1},
    }))?)
}

fn idle(name: String) -> Result<Pod> {
    let sleep = json!({"name": "main", "image": "busybox", "command": ["sleep", "1000000"]});
    pod(name, vec![sleep])
}

fn is_bound(pod: &Pod) -> bool {
    pod.spec
        .as_ref()
        .is_some_and(|spec| spec.node_name.is_some())
}

fn is_running(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    status.and_then(|status| status.phase.as_deref()) == Some("Running")
}

/// Every version of every pod, from a watch that has listed.
async fn changes(pods: &Api<Pod>) -> Result<impl Stream<Item = Result<Pod>> + use<>> {
    let mut events = watcher(pods.clone(), watcher::Config::default()).boxed();
    loop {
        match events.next().await.context("the watch ended")?? {
            watcher::Event::InitDone => break,
            _ => continue,
        }
    }
    Ok(events.applied_objects().map_err(anyhow::Error::from))
}

/// A line of milliseconds per pod.
async fn one_by_one(count: u32) -> Result<()> {
    let pods = pods().await?;
    let mut changes = std::pin::pin!(changes(&pods).await?);
    // The first finds nothing in any cache.
    for n in 0..=count {
        let name = format!("one-{n}");
        pods.create(&PostParams::default(), &idle(name.clone())?)
            .await?;
        let mut bound = None;
        let took = loop {
            let pod = changes.next().await.context("the watch ended")??;
            if pod.name_any() != name {
                continue;
            }
            if is_running(&pod) {
                let bound: Instant = bound.context("it ran before it was bound")?;
                break bound.elapsed();
            }
            if is_bound(&pod) {
                bound.get_or_insert_with(Instant::now);
            }
        };
        if n > 0 {
            println!("{:.3}", took.as_secs_f64() * 1e3);
        }
    }
    Ok(())
}

/// Milliseconds from the first creation to the last pod that runs.
async fn at_once(count: u32) -> Result<()> {
    let all = (0..count)
        .map(|n| idle(format!("pod-{n}")))
        .collect::<Result<Vec<Pod>>>()?;
    println!("{:.3}", run_all(all, is_running).await?.as_secs_f64() * 1e3);
    Ok(())
}

async fn run_all(all: Vec<Pod>, is_there: impl Fn(&Pod) -> bool) -> Result<Duration> {
    let pods = pods().await?;
    let count = all.len();
    let mut changes = std::pin::pin!(changes(&pods).await?);
    let start = Instant::now();
    let creating = futures::stream::iter(all)
        .map(|pod| {
            let pods = pods.clone();
            async move { pods.create(&PostParams::default(), &pod).await }
        })
        .buffer_unordered(CREATES_AT_ONCE)
        .try_for_each(|_| std::future::ready(Ok(())));
    let running = async {
        let mut there = BTreeSet::new();
        while there.len() < count {
            let pod = changes.next().await.context("the watch ended")??;
            if is_there(&pod) {
                there.insert(pod.name_any());
            }
        }
        anyhow::Ok(())
    };
    let both = async { futures::try_join!(async { Ok(creating.await?) }, running) };
    match tokio::time::timeout(PATIENCE, both).await {
        Ok(done) => done?,
        Err(_) => bail!("{count} pods do not run after {} s", PATIENCE.as_secs()),
    };
    Ok(start.elapsed())
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// How many probes per second there were, and what percentage of a core the agent had meanwhile.
async fn probes(rate: u32) -> Result<()> {
    let per_pod = CONTAINERS_PER_POD * PROBES_PER_CONTAINER;
    let count = rate.div_ceil(per_pod);
    let all = (0..count).map(probed).collect::<Result<Vec<Pod>>>()?;
    run_all(all, is_ready).await?;
    let agents = processes::named("podnet agent")?;
    let agent = agents.first().context("an agent")?;
    let (before, start) = (cpu_ticks(agent)?, Instant::now());
    tokio::time::sleep(PROBING).await;
    let used = (cpu_ticks(agent)? - before) as f64 / ticks_per_second()?;
    let percent = used / start.elapsed().as_secs_f64() * 100.0;
    println!("{} {percent:.2}", count * per_pod);
    Ok(())
}

/// Each of its containers answers on a port of its own.
fn probed(n: u32) -> Result<Pod> {
    let container = |index: u32| {
        let port = 8080 + index;
        let probe = json!({"httpGet": {"path": "/healthz", "port": port}, "periodSeconds": 1});
        json!({
            "name": format!("c{index}"),
            "image": "registry.k8s.io/e2e-test-images/agnhost:2.53",
            "args": ["netexec", format!("--http-port={port}"), "--udp-port=-1"],
            "livenessProbe": probe,
            "readinessProbe": probe,
        })
    };
    pod(
        format!("probed-{n}"),
        (0..CONTAINERS_PER_POD).map(container).collect(),
    )
}

/// User and system time, proc_pid_stat(5) fields 14 and 15.
fn cpu_ticks(process: &Path) -> Result<u64> {
    let stat = fs::read_to_string(process.join("stat"))?;
    let (_, after_name) = stat.rsplit_once(')').context("a name")?;
    let mut fields = after_name.split_whitespace().skip(14 - 3);
    let mut next = || -> Result<u64> { Ok(fields.next().context("a time")?.parse()?) };
    Ok(next()? + next()?)
}

fn ticks_per_second() -> Result<f64> {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?;
    Ok(ticks.context("a clock's rate")? as f64)
}
