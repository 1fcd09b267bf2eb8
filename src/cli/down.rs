//! `podnet down`.

use std::process::ExitCode;

use crate::lab::LabDir;
use crate::lab::stop::{Stopped, stop};

use super::LabArg;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    lab: LabArg,
    /// Every lab of this user
    #[arg(long)]
    all: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let labs = if args.all {
        LabDir::all()?
    } else {
        vec![args.lab.dir()?]
    };
    if labs.is_empty() {
        eprintln!("no lab is there");
    }
    let mut first_error = None;
    for lab in &labs {
        match stop(lab) {
            Ok(Stopped::NotThere) => eprintln!("lab {} is not there", lab.name()),
            Ok(Stopped::Remains) => eprintln!("lab {}: remains removed", lab.name()),
            Ok(Stopped::Running) => eprintln!("lab {} is down", lab.name()),
            // The others still have to go.
            Err(error) => {
                eprintln!("lab {}: {}", lab.name(), crate::lab::chain(&error));
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(error.into()),
    }
}
