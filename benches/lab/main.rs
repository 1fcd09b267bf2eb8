//! What a whole lab costs: from the command to all of it answering.
//!
//! `cargo bench --bench lab` brings labs up in a state directory of its own, as
//! root or as an ordinary user. Beside each figure stands the kernel's floor for
//! the same thing, measured in the same run: namespaces and veth pairs for nodes,
//! a bare `podnet-pause` and an attachment for pods. A bench is no test: it says
//! where a target is missed and exits with 0.

// The other bench uses the rest of it.
#[allow(dead_code)]
#[path = "../fabric/table.rs"]
mod table;

mod floor;
mod inside;
mod place;
mod processes;

use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use place::{PODNET, Place};
use table::{Samples, Table, Target};

const FEW: u32 = 3;
const MANY: u32 = 50;
const PODS: u32 = 500;
const POD_NODES: u32 = 10;
const REPETITIONS: usize = 5;
/// 150 pods per second.
const PODS_WITHIN: Duration = Duration::from_millis(PODS as u64 * 1000 / 150);
const AGENT_KB: u64 = 12 * 1024;
const PAUSE_KB: u64 = 512;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match &words[..] {
        ["inside", rest @ ..] => inside::run(rest),
        ["floor", rest @ ..] => floor::run(rest),
        _ => measure(),
    };
    if let Err(error) = done {
        eprintln!("the bench could not run: {error:#}");
        return ExitCode::from(u8::from(words.first().is_some_and(|w| *w != "--bench")));
    }
    ExitCode::SUCCESS
}

fn measure() -> Result<()> {
    let bench = Bench {
        place: Place::new()?,
    };
    let mut table = Table::default();
    let mut memory = Vec::new();
    bench.up_and_down(&mut table)?;
    bench.many_nodes(&mut table, &mut memory)?;
    bench.many_pods(&mut table, &mut memory)?;
    println!("{table}");
    for line in memory {
        println!("{line}");
    }
    Ok(())
}

struct Bench {
    place: Place,
}

impl Bench {
    fn up_and_down(&self, table: &mut Table) -> Result<()> {
        let (mut ups, mut downs) = (Samples::default(), Samples::default());
        let mut floors = Samples::default();
        for _ in 0..REPETITIONS {
            ups.push(self.place.up(FEW)?);
            downs.push(self.place.down()?);
            floors.push(floor_of("nodes", FEW)?);
        }
        let target = Target::AtMost(Duration::from_secs(1));
        table.add(
            &format!("up, {FEW} nodes Ready"),
            &ups,
            Some(&floors),
            target,
        );
        table.add(&format!("down, {FEW} nodes"), &downs, None, Target::None);
        Ok(())
    }

    fn many_nodes(&self, table: &mut Table, memory: &mut Vec<String>) -> Result<()> {
        let ups = one(self.place.up(MANY)?);
        let floors = one(floor_of("nodes", MANY)?);
        let target = Target::AtMost(Duration::from_secs(10));
        table.add(
            &format!("up, {MANY} nodes Ready"),
            &ups,
            Some(&floors),
            target,
        );

        let mut joins = Samples::default();
        for n in 1..=REPETITIONS as u32 {
            joins.push(self.join(MANY + n)?);
        }
        let target = Target::AtMost(Duration::from_millis(500));
        table.add(
            &format!("join {MANY}: route everywhere"),
            &joins,
            None,
            target,
        );

        let private = self.place.inside(&["memory", "podnet agent"])?;
        memory.push(format!(
            "agent, idle among {} nodes: {private} kB private (target {AGENT_KB} kB)",
            MANY as usize + REPETITIONS
        ));
        self.place.down()?;
        Ok(())
    }

    fn many_pods(&self, table: &mut Table, memory: &mut Vec<String>) -> Result<()> {
        self.place.up(POD_NODES)?;
        let milliseconds: f64 = self.place.inside(&["pods", &PODS.to_string()])?.parse()?;
        let pods = one(Duration::from_secs_f64(milliseconds / 1e3));
        let floors = one(floor_of("pods", PODS)?);
        let what = format!("{PODS} pods on {POD_NODES} nodes");
        table.add(&what, &pods, Some(&floors), Target::AtMost(PODS_WITHIN));
        let private = self.place.inside(&["memory", "podnet-pause"])?;
        memory.push(format!(
            "pause process: {private} kB private (target {PAUSE_KB} kB)"
        ));
        let downs = one(self.place.down()?);
        let target = Target::AtMost(Duration::from_secs(3));
        table.add(&format!("down, {PODS} pods"), &downs, None, target);
        Ok(())
    }

    /// From the claim of the new node's range to its route on every other node.
    fn join(&self, n: u32) -> Result<Duration> {
        let node = format!("node-{n}");
        let mut watcher: Child = self
            .place
            .inside_command(&["join", &node])?
            .stdout(Stdio::piped())
            .spawn()?;
        let out = watcher.stdout.take().context("its output")?;
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
        let ready = lines.next().context("the watcher ended early")??;
        if ready != "watching" {
            bail!("the watcher said {ready:?}");
        }
        self.place.timed(&["node", "add", &node])?;
        let milliseconds: f64 = lines.next().context("no figure")??.parse()?;
        watcher.wait()?;
        Ok(Duration::from_secs_f64(milliseconds / 1e3))
    }
}

fn one(sample: Duration) -> Samples {
    let mut samples = Samples::default();
    samples.push(sample);
    samples
}

/// The same program in namespaces of its own.
fn floor_of(what: &str, count: u32) -> Result<Duration> {
    let output = Command::new("unshare")
        .args([
            "--map-root-user",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--",
        ])
        .arg(std::env::current_exe()?)
        .args(["floor", what, &count.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .context("run `unshare` (Debian package util-linux)")?;
    let milliseconds: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    Ok(Duration::from_secs_f64(milliseconds / 1e3))
}
