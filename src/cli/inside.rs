//! Subcommands that do their work inside the lab: the command starts itself
//! again in there, since what joins a lab's namespaces stays in them.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};

use crate::lab::LabDir;
use crate::lab::enter::{Target, run_inside};

/// Runs `podnet` with `arguments` in the lab's underlay.
pub fn podnet_inside(lab: &LabDir, arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    let status = run_inside(lab, &Target::Lab, &mut command)?;
    Ok(ExitCode::from(exit_code(status)))
}

/// As a shell reports it: the code, or 128 and the signal's number.
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
