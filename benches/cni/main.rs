//! What a CNI call costs as the runtime sees it: the whole process, beside
//! Debian's `bridge` with `host-local` on the same configuration.
//!
//! `cargo bench --bench cni` needs no root: it runs in user, network and mount
//! namespaces of its own. Rounds of ours and of the reference alternate, so that a
//! machine that slows down slows both. A pod's namespace is made before the clock
//! starts. Each round adds all of its pods before it deletes the first.
//!
//! A bench is no test: it says where a target is missed and exits with 0.

#[path = "../fabric/floor.rs"]
#[allow(dead_code)]
mod floor;
mod log;
mod runtime;
mod table;

use std::os::fd::AsFd;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use podnet::kernel::Kernel;
use podnet::kernel::linux::{Linux, disable_ipv6, in_netns, new_netns};
use podnet::model::{NodeCidrs, Slot};

use floor::Floor;
use runtime::{Plugin, Pod};
use table::{Row, Samples};

const INSIDE: &str = "PODNET_BENCH_INSIDE";
/// How many at a time, of how many in a round, and how many rounds of each side.
const LOADS: [(usize, usize, usize); 3] = [(1, 50, 3), (10, 100, 3), (100, 200, 3)];
/// At least so many times as fast as the reference.
const ADD_TARGET: f64 = 6.0;
const DEL_TARGET: f64 = 8.0;
const START_TARGET: Duration = Duration::from_micros(1500);
const OVER_FLOOR_TARGET: Duration = Duration::from_micros(1500);
const SIZE_TARGET_BYTES: u64 = 3_000_000;
const REPETITIONS: u32 = 50;

fn main() -> ExitCode {
    let run = match std::env::var_os(INSIDE) {
        Some(_) => measure(),
        None => enter(),
    };
    if let Err(error) = run {
        eprintln!("the bench could not run: {error:#}");
    }
    ExitCode::SUCCESS
}

/// The same program in namespaces of its own.
fn enter() -> Result<()> {
    let status = Command::new("unshare")
        .args(["--map-root-user", "--net", "--mount", "--"])
        .arg(std::env::current_exe()?)
        .env(INSIDE, "1")
        .status()
        .context("run `unshare` (Debian package util-linux)")?;
    if !status.success() {
        bail!("unshare: {status} (does this machine allow user namespaces?)");
    }
    Ok(())
}

fn measure() -> Result<()> {
    let limit = rustix::process::Rlimit {
        current: Some(4096),
        maximum: Some(4096),
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)
        .context("allow 4,096 open files: each pod's namespace is one")?;
    let data = tempfile::tempdir()?;
    let ours = Plugin::ours();
    let reference = Plugin::reference(data.path())?;
    let alone = loads(&ours, &reference)?;
    println!();
    let start = starts(&ours)?;
    println!("{}", start.against("process start (VERSION)", START_TARGET));
    let bytes = ours.size_bytes()?;
    println!("{}", table::size("the program", bytes, SIZE_TARGET_BYTES));
    let (add, floor) = over_the_floor(&ours)?;
    println!("{}", add.plain("ADD on an empty bridge"));
    println!("{}", floor.plain("the kernel's floor for it"));
    let over = add.median().saturating_sub(floor.median());
    println!(
        "{}",
        table::judged("ADD over the floor", over, OVER_FLOOR_TARGET)
    );
    bounds(&alone, floor.median())
}

/// ADD and DEL at each load; answers those of one call at a time.
fn loads(ours: &Plugin, reference: &Plugin) -> Result<(Row, Row)> {
    println!("{}", Row::HEAD);
    let mut alone = None;
    for (at_once, pods, rounds) in LOADS {
        let (mut add, mut del) = (Row::default(), Row::default());
        for round in 0..rounds {
            let name = |side: &str| format!("{side}-{at_once}-{round}");
            let (added, deleted) = side(ours, &name("ours"), at_once, pods)?;
            add.ours.extend(added);
            del.ours.extend(deleted);
            let (added, deleted) = side(reference, &name("reference"), at_once, pods)?;
            add.reference.extend(added);
            del.reference.extend(deleted);
        }
        println!(
            "{}",
            add.line(&format!("ADD, {at_once} at a time"), ADD_TARGET)
        );
        println!(
            "{}",
            del.line(&format!("DEL, {at_once} at a time"), DEL_TARGET)
        );
        alone.get_or_insert((add, del));
    }
    alone.context("no load was measured")
}

/// What keeps both sides from being faster on this machine.
fn bounds((add, del): &(Row, Row), floor: Duration) -> Result<()> {
    let most = add.reference.median().as_secs_f64() / floor.as_secs_f64();
    println!(
        "the reference adds one at a time in {most:.1} times the floor, which bounds any ratio"
    );
    let line = log::line()?;
    println!("{}", line.plain("a line of the kernel's log"));
    println!(
        "one at a time, without the time for such lines: ADD {:.1}, DEL {:.1} times as fast",
        add.without(line.median(), log::OF_ADD, log::OF_ADD),
        del.without(line.median(), log::OF_OUR_DEL, log::OF_THEIR_DEL),
    );
    Ok(())
}

/// One round: all pods added, then all deleted.
fn side(plugin: &Plugin, name: &str, at_once: usize, count: usize) -> Result<(Samples, Samples)> {
    let pods = (0..count)
        .map(|n| Pod::new(&format!("{name}-{n}")))
        .collect::<Result<Vec<_>>>()?;
    let added = runtime::all(plugin, "ADD", &pods, at_once)?;
    let deleted = runtime::all(plugin, "DEL", &pods, at_once)?;
    // What the round left to be deleted is not the next one's burden.
    Linux::open()?.reap()?;
    Ok((added, deleted))
}

fn starts(plugin: &Plugin) -> Result<Samples> {
    let pod = Pod::new("nobody")?;
    let mut samples = Samples::default();
    for _ in 0..4 * REPETITIONS {
        samples.push(plugin.call("VERSION", &pod)?);
    }
    Ok(samples)
}

/// One pod at a time, ours and the floor's in turn, each gone before the next.
fn over_the_floor(plugin: &Plugin) -> Result<(Samples, Samples)> {
    let (mut adds, mut floors) = (Samples::default(), Samples::default());
    // The bridge is there from the rounds before.
    let floor = Floor::open(runtime::BRIDGE)?;
    let kernel = Linux::open()?;
    let cidrs = NodeCidrs::new(vec![runtime::SUBNET.parse()?])?;
    for n in 0..REPETITIONS {
        let pod = Pod::new(&format!("floor-{n}"))?;
        in_netns(pod.netns.as_fd(), disable_ipv6)??;
        adds.push(plugin.call("ADD", &pod)?);
        plugin.call("DEL", &pod)?;
        let other = new_netns()?;
        in_netns(other.as_fd(), disable_ipv6)??;
        let slot = Slot::new(60_000 + n).context("a slot")?;
        let prepared = floor.prepare(&cidrs, slot, other.as_fd())?;
        floors.push(floor.attach(&prepared)?);
        floor.retire(slot)?;
        kernel.reap()?;
    }
    Ok((adds, floors))
}
