//! What a pod's containers cost: to start, to probe, to keep.
//!
//! `cargo bench --bench pods` brings labs up in a state directory of its own, as
//! root or as an ordinary user, and beside the time to start a container
//! stands the kernel's floor for it, measured in the same run: the same
//! namespaces, mounts and program, made by util-linux's `unshare`. A bench is no test: it says where a
//! target is missed and exits with 0.

#[allow(dead_code)]
#[path = "../fabric/table.rs"]
mod table;

mod inside;
#[path = "../lab/place.rs"]
mod place;
#[path = "../lab/processes.rs"]
mod processes;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use place::Place;
use table::{Samples, Table, Target};

const ONE_BY_ONE: u32 = 40;
const AT_ONCE: u32 = 200;
const NODES: u32 = 4;
/// 60 pods per second.
const AT_ONCE_WITHIN: Duration = Duration::from_millis(AT_ONCE as u64 * 1000 / 60);
const START_WITHIN: Duration = Duration::from_millis(25);
const PROBES_PER_SECOND: u32 = 1000;
const PROBE_PERCENT: f64 = 20.0;
const IDLE_PODS: u32 = 100;
const IDLE_KB: i64 = 1536;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match &words[..] {
        ["inside", rest @ ..] => inside::run(rest),
        _ => measure(),
    };
    if let Err(error) = done {
        eprintln!("the bench could not run: {error:#}");
        return ExitCode::from(u8::from(words.first().is_some_and(|w| *w != "--bench")));
    }
    ExitCode::SUCCESS
}

fn measure() -> Result<()> {
    let place = Place::new()?;
    let mut table = Table::default();
    start_one(&place, &mut table)?;
    start_many(&place, &mut table)?;
    let memory = memory(&place)?;
    let probes = probes(&place)?;
    println!("{table}\n{memory}\n{probes}");
    Ok(())
}

/// One pod at a time, from the node's name in its object to Running.
fn start_one(place: &Place, table: &mut Table) -> Result<()> {
    place.up(1)?;
    let mut ours = Samples::default();
    let said = place.inside(&["one-by-one", &ONE_BY_ONE.to_string()])?;
    for line in said.lines() {
        ours.push(Duration::from_secs_f64(line.parse::<f64>()? / 1e3));
    }
    place.down()?;
    let mut floors = Samples::default();
    for _ in 0..ONE_BY_ONE {
        floors.push(bare_container()?);
    }
    let target = Target::AtMost(START_WITHIN);
    table.add("binding to Running", &ours, Some(&floors), target);
    Ok(())
}

/// Namespaces, a private /proc and a program that ends at once.
fn bare_container() -> Result<Duration> {
    let start = Instant::now();
    let status = Command::new("unshare")
        .args(["--map-root-user", "--net", "--uts", "--ipc", "--mount"])
        .args(["--pid", "--fork", "--mount-proc", "--", "true"])
        .status()
        .context("run `unshare` (Debian package util-linux)")?;
    if !status.success() {
        bail!("unshare: {status}");
    }
    Ok(start.elapsed())
}

fn start_many(place: &Place, table: &mut Table) -> Result<()> {
    place.up(NODES)?;
    let mut ours = Samples::default();
    let milliseconds: f64 = place.inside(&["at-once", &AT_ONCE.to_string()])?.parse()?;
    ours.push(Duration::from_secs_f64(milliseconds / 1e3));
    let what = format!("{AT_ONCE} pods on {NODES} nodes");
    table.add(&what, &ours, None, Target::AtMost(AT_ONCE_WITHIN));
    place.down()?;
    Ok(())
}

/// What an idle pod takes beside its own container: its pause process and its
/// part of the agent.
fn memory(place: &Place) -> Result<String> {
    place.up(1)?;
    let agent =
        |place: &Place| -> Result<i64> { Ok(place.inside(&["memory", "podnet agent"])?.parse()?) };
    let before = agent(place)?;
    place.inside(&["at-once", &IDLE_PODS.to_string()])?;
    let agent_part = (agent(place)? - before) / i64::from(IDLE_PODS);
    let pause: i64 = place.inside(&["memory", "podnet-pause"])?.parse()?;
    place.down()?;
    let all = pause + agent_part;
    Ok(format!(
        "an idle pod, beside its container: {all} kB private ({pause} kB pause, {agent_part} kB of \
         the agent; target {IDLE_KB} kB)"
    ))
}

fn probes(place: &Place) -> Result<String> {
    place.up(1)?;
    let said = place.inside(&["probes", &PROBES_PER_SECOND.to_string()])?;
    place.down()?;
    let (rate, percent) = said.split_once(' ').context("a rate and a share")?;
    let (rate, percent): (f64, f64) = (rate.parse()?, percent.parse()?);
    let share = percent * f64::from(PROBES_PER_SECOND) / rate;
    Ok(format!(
        "probes: {rate:.0} per second took the agent {percent:.1} % of a core, so \
         {PROBES_PER_SECOND} take {share:.1} % (target {PROBE_PERCENT} %)"
    ))
}
