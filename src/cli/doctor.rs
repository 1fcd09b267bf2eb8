//! `podnet doctor`.

use std::process::ExitCode;

use crate::lab::doctor::{Verdict, examine, probe_inside, probe_outside};

use super::{Format, print_structured};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// The attempt that `doctor` makes in a child.
#[derive(Debug, clap::Args)]
pub struct ProbeArgs {
    #[arg(long)]
    init: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let findings = examine();
    if !print_structured(args.output, &findings)? {
        for finding in &findings {
            let mark = match finding.verdict {
                Verdict::Good => "ok     ",
                Verdict::Bad => "FAILED ",
                Verdict::Missing => "missing",
                Verdict::Slow => "slow   ",
            };
            println!("{mark} {:<13} {}", finding.check, finding.detail);
            if let Some(mend) = &finding.mend {
                println!("        {:<13} {mend}", "to mend:");
            }
        }
    }
    let is_bad = findings.iter().any(|f| f.verdict == Verdict::Bad);
    Ok(ExitCode::from(u8::from(is_bad)))
}

pub fn probe(args: &ProbeArgs) -> anyhow::Result<ExitCode> {
    let findings = if args.init {
        probe_inside()
    } else {
        probe_outside()
    };
    println!("{}", serde_json::to_string(&findings)?);
    Ok(ExitCode::SUCCESS)
}
