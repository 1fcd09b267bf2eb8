//! What the API server costs: requests per second, watchers, lists, memory, start.
//!
//! `cargo bench --bench api` runs the real `podnet server` as a process of its own and loads it over
//! TLS with client certificates, from this process, on the same cores. Beside each figure stands a
//! floor from the same run: a server of nothing but hyper and rustls that answers with the same
//! bytes, and that has every body on disk before it answers, many at a time, by appending it to a
//! file. A bench is no test: it says where a target is missed and exits with 0.

mod client;
mod floor;
mod load;
mod place;
mod pods;
#[path = "../lab/processes.rs"]
#[allow(dead_code)]
mod processes;
mod report;
#[path = "../fabric/table.rs"]
#[allow(dead_code)]
mod table;
mod watchers;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use client::{Connection, Protocol};
use load::{Load, Run};
use place::{Place, Server};
use report::Report;
use table::Samples;

const FEW_PODS: usize = 5_000;
const GETS: usize = 60_000;
const LISTS: usize = 7;
const STARTS: usize = 5;
const NODES: usize = 10;
const CREATES_PER_SECOND: f64 = 3_000.0;
const GETS_PER_SECOND: f64 = 20_000.0;
const LIST_WITHIN: Duration = Duration::from_millis(300);
const SEEN_WITHIN: Duration = Duration::from_millis(50);
const START_WITHIN: Duration = Duration::from_millis(150);
const MEMORY_KB: u64 = 60 << 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match &words[..] {
        ["floor", dir] => floor::run(dir.as_ref()),
        _ => measure(),
    };
    if let Err(error) = done {
        eprintln!("the bench could not run: {error:#}");
        return ExitCode::from(u8::from(words.first().is_some_and(|w| *w != "--bench")));
    }
    ExitCode::SUCCESS
}

/// One thread makes all of the load: what it costs is the server's to lose on the same cores.
fn measure() -> Result<()> {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut report = Report::default();
    let measured = tokio.block_on(async {
        alone(&mut report).await?;
        scheduled(&mut report).await
    });
    print!("{report}");
    measured
}

/// The server as kube-apiserver is measured: its pods are no scheduler's business.
async fn alone(report: &mut Report) -> Result<()> {
    let place = Place::new()?;
    let mut empty = Samples::default();
    for _ in 0..STARTS {
        empty.push(place.start_podnet().await?.1);
    }
    let (server, _) = place.start_podnet().await?;
    let bare = server.private_kilobytes()?;

    let first = creates(&server, Protocol::Http1, 0..FEW_PODS, pods::unscheduled).await?;
    place.keep_pod(&server).await?;
    let (floor, _) = place.start_floor().await?;
    let of_floor = creates(&floor, Protocol::Http1, 0..FEW_PODS, pods::unscheduled).await?;
    report.rate(
        "creates, HTTP/1.1",
        &first,
        Some(&of_floor),
        CREATES_PER_SECOND,
    );
    report.memory(&server, bare, FEW_PODS, MEMORY_KB)?;
    drop(server);

    let (after_kill, after_stop) = starts(&place).await?;
    let (server, _) = place.start_podnet().await?;
    let second = FEW_PODS..pods::ALL;
    let ours = creates(&server, Protocol::Http2, second.clone(), pods::unscheduled).await?;
    let of_floor = creates(&floor, Protocol::Http2, second, pods::unscheduled).await?;
    report.rate(
        "creates, HTTP/2",
        &ours,
        Some(&of_floor),
        CREATES_PER_SECOND,
    );

    for (protocol, what) in [
        (Protocol::Http1, "gets, HTTP/1.1"),
        (Protocol::Http2, "gets, HTTP/2"),
    ] {
        let ours = gets(&server, protocol).await?;
        let of_floor = gets(&floor, protocol).await?;
        report.rate(what, &ours, Some(&of_floor), GETS_PER_SECOND);
    }
    let (ours, of_floor) = (lists(&server).await?, lists(&floor).await?);
    let what = format!("list of {} pods", pods::ALL);
    report.time(&what, &ours, Some(&of_floor), LIST_WITHIN);
    let (ours, of_floor) = (watchers::see(&server).await?, watchers::see(&floor).await?);
    let what = format!("change to {} watchers", watchers::COUNT);
    report.tail(&what, &ours, &of_floor, SEEN_WITHIN);
    let what = format!("start with {FEW_PODS}");
    report.time(&what, &after_stop, Some(&empty), START_WITHIN);
    let what = format!("start with {FEW_PODS}, after a kill");
    report.time(&what, &after_kill, Some(&empty), START_WITHIN);
    Ok(())
}

/// Starts on what is stored, after the server was killed and after it was told to stop.
async fn starts(place: &Place) -> Result<(Samples, Samples)> {
    let (mut after_kill, mut after_stop) = (Samples::default(), Samples::default());
    for _ in 0..STARTS {
        after_kill.push(place.start_podnet().await?.1);
    }
    place.start_podnet().await?.0.stop()?;
    for _ in 0..STARTS {
        let (server, took) = place.start_podnet().await?;
        after_stop.push(took);
        server.stop()?;
    }
    Ok((after_kill, after_stop))
}

/// With a scheduler that has something to say on every pod.
async fn scheduled(report: &mut Report) -> Result<()> {
    for nodes in [0, NODES] {
        let place = Place::new()?;
        let (server, _) = place.start_podnet().await?;
        let bare = server.private_kilobytes()?;
        let mut connection = Connection::open(&server, Protocol::Http1).await?;
        for n in 0..nodes {
            let sent = connection.post("/api/v1/nodes", pods::node(n)).await?;
            if sent.status != 201 {
                bail!("a node: {}", sent.status);
            }
        }
        let start = Instant::now();
        let run = creates(&server, Protocol::Http1, 0..FEW_PODS, pods::scheduled).await?;
        let what = match nodes {
            0 => "creates, pods fit nowhere".to_owned(),
            nodes => format!("creates, {nodes} nodes"),
        };
        report.rate(&what, &run, None, CREATES_PER_SECOND);
        pods::until_all_are_told(&mut connection, FEW_PODS, nodes > 0).await?;
        let told = FEW_PODS as f64 / start.elapsed().as_secs_f64();
        report.note(format!("{what}: the scheduler's word on {told:.0} pods/s"));
        report.memory(&server, bare, FEW_PODS, MEMORY_KB)?;
    }
    Ok(())
}

async fn creates(
    server: &Server,
    protocol: Protocol,
    which: std::ops::Range<usize>,
    body: fn(usize) -> String,
) -> Result<Run> {
    let bodies: Vec<String> = which.map(body).collect();
    let load = Load {
        server,
        protocol,
        count: bodies.len(),
        status: 201,
    };
    load.run(|n| client::request("POST", pods::PATH, bodies[n].clone()))
        .await
}

/// In an order that no cache knows.
async fn gets(server: &Server, protocol: Protocol) -> Result<Run> {
    const STEP: usize = 7_919;
    let load = Load {
        server,
        protocol,
        count: GETS,
        status: 200,
    };
    load.run(|n| {
        let path = format!("{}/{}", pods::PATH, pods::name(n * STEP % pods::ALL));
        client::request("GET", &path, String::new())
    })
    .await
}

async fn lists(server: &Server) -> Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..LISTS {
        let mut connection = Connection::open(server, Protocol::Http1).await?;
        let start = Instant::now();
        let answer = connection.get(pods::PATH).await?;
        samples.push(start.elapsed());
        if answer.bytes < pods::ALL * pods::LEAST_BYTES {
            bail!("a list of {} bytes", answer.bytes);
        }
    }
    Ok(samples)
}
