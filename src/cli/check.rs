//! `podnet check`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::cluster;
use crate::insight::check::{Fabric, Report, check, gather};
use crate::lab::launch::raise_descriptor_limit;
use crate::model::NodeName;

use super::client::runtime;
use super::inside::podnet_inside;
use super::output::print_colored;
use super::{Format, LabArg, print_structured};

/// More endpoints than this are shown node by node.
const WIDEST_MATRIX: usize = 24;
/// More failures than this are counted, not listed.
const MOST_LISTED: usize = 20;
/// What pods that are just being started get to be there.
const STARTING: Duration = Duration::from_secs(2);
/// As many pairs take no time worth a word.
const QUICK: usize = 2_000;
/// `gc_thresh3` of net.ipv4.neigh.default, less some room for the rest.
const LEARNED_AT_MOST: usize = 1_000;
/// 2: could not tell.
const UNKNOWN: u8 = 2;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    lab: LabArg,
    /// How to print what was found
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
    /// Already inside the lab
    #[arg(long, hide = true)]
    inside: bool,
}

/// 0: everything answers and holds; 1: something does not; 2: could not tell.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let done = match args.inside {
        true => inside(args),
        false => outside(args),
    };
    done.or_else(|error| {
        eprintln!("error: {error:#}");
        Ok(ExitCode::from(UNKNOWN))
    })
}

fn outside(args: &Args) -> anyhow::Result<ExitCode> {
    let lab = args.lab.live_dir()?;
    let format = match args.output {
        Format::Table => "table",
        Format::Json => "json",
        Format::Yaml => "yaml",
    };
    podnet_inside(&lab, &["check", "--inside", "--output", format])
}

fn inside(args: &Args) -> anyhow::Result<ExitCode> {
    let lab = args.lab.dir()?;
    raise_descriptor_limit();
    let (fabric, report) = runtime()?.block_on(async {
        let client = cluster::connect(&lab.kubeconfig_inside()).await?;
        let deadline = tokio::time::Instant::now() + STARTING;
        let fabric = gather(&lab, &client, deadline).await?;
        let pairs = pairs(fabric.endpoints.len());
        if pairs > QUICK {
            eprintln!("trying {pairs} pairs");
        }
        let report = check(&fabric).await?;
        anyhow::Ok((fabric, report))
    })?;
    if !print_structured(args.output, &report)? {
        print_report(&fabric, &report);
    }
    Ok(ExitCode::from(u8::from(!report.holds())))
}

fn print_report(fabric: &Fabric, report: &Report) {
    let failed = report.failed_pairs();
    if report.endpoints.len() <= WIDEST_MATRIX {
        print_matrix(report);
    } else {
        print_summary(fabric, report);
    }
    let pairs = pairs(report.endpoints.len());
    println!();
    verdict(
        failed.is_empty(),
        &format!(
            "{} of {pairs} pairs reach each other by ICMP and TCP",
            pairs - failed.len()
        ),
    );
    for probe in report.failed_probes().take(MOST_LISTED) {
        let error = probe.error.as_deref().unwrap_or_default();
        let protocol = format!("{:?}", probe.protocol).to_uppercase();
        println!(
            "      {} to {} ({}) {protocol}: {error}",
            probe.from, probe.to, probe.address
        );
    }
    let more = report.failed_probes().count().saturating_sub(MOST_LISTED);
    if more > 0 {
        println!("      and {more} more (-o json lists all)");
    }
    for hint in &report.hints {
        println!("      hint: {hint}");
    }
    let learned = learned(fabric);
    if more + failed.len() > 0 && learned > LEARNED_AT_MOST {
        println!(
            "      {learned} pairs of pods on one node learn each other by ARP, and the kernel's table \
             holds 1,024 entries for all namespaces together (net.ipv4.neigh.default.gc_thresh3)"
        );
    }
    for invariant in &report.invariants {
        verdict(invariant.holds(), invariant.name);
        for broken in &invariant.broken {
            println!("      {broken}");
        }
    }
}

fn pairs(endpoints: usize) -> usize {
    endpoints * endpoints.saturating_sub(1)
}

/// Entries that pods have for others on their node once all have talked.
fn learned(fabric: &Fabric) -> usize {
    let pods_of = |name: &NodeName| {
        let here = fabric.endpoints.iter().filter(|e| e.node == *name).count();
        here.saturating_sub(1)
    };
    fabric
        .nodes
        .iter()
        .map(|node| pairs(pods_of(&node.view.name)))
        .sum()
}

fn verdict(good: bool, text: &str) {
    let (word, color) = match good {
        true => ("ok", AnsiColor::Green),
        false => ("no", AnsiColor::Red),
    };
    print_colored(format_args!("  {}  {text}\n", paint(color, word)));
}

fn paint(color: AnsiColor, text: &str) -> String {
    let style = Style::new().fg_color(Some(color.into()));
    format!("{style}{text}{style:#}")
}

/// Rows send, columns receive.
fn print_matrix(report: &Report) {
    let names = &report.endpoints;
    let failed = report.failed_pairs();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    for (i, name) in names.iter().enumerate() {
        print_colored(format_args!(
            "  {:>2}  {name:<width$}  {}\n",
            i + 1,
            row(names, &failed, name)
        ));
    }
    let numbers: String = (1..=names.len()).map(|n| format!("{n:>3}")).collect();
    println!("  {:>2}  {:<width$} {numbers}", "", "to:");
}

fn row(names: &[String], failed: &BTreeSet<(&str, &str)>, from: &str) -> String {
    let cells = names.iter().map(|to| {
        if to == from {
            " · ".to_owned()
        } else if failed.contains(&(from, to.as_str())) {
            format!(" {} ", paint(AnsiColor::Red, "✗"))
        } else {
            format!(" {} ", paint(AnsiColor::Green, "✓"))
        }
    });
    cells.collect()
}

fn print_summary(fabric: &Fabric, report: &Report) {
    let node_of: BTreeMap<&str, &str> = fabric
        .endpoints
        .iter()
        .map(|e| (e.name.as_str(), e.node.as_str()))
        .collect();
    let mut failures: BTreeMap<&str, usize> = BTreeMap::new();
    for (from, _) in report.failed_pairs() {
        let node = node_of.get(from).copied().unwrap_or(from);
        *failures.entry(node).or_default() += 1;
    }
    for node in &fabric.nodes {
        let name = node.view.name.as_str();
        let here = node_of.values().filter(|on| **on == name).count();
        let bad = failures.get(name).copied().unwrap_or(0);
        println!("  {name}: {here} endpoints, {bad} pairs from here fail");
    }
}
