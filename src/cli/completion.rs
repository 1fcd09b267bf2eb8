//! `podnet completion`.

use std::process::ExitCode;

use clap_complete::Shell;

use super::help;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell that it is for: `source <(podnet completion bash)`
    shell: Shell,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut help::command(), "podnet", &mut script);
    print!("{}", String::from_utf8(script)?);
    Ok(ExitCode::SUCCESS)
}
