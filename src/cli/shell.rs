//! `podnet shell`.

use std::process::{Command, ExitCode};

use crate::lab::LabDir;
use crate::lab::control::Status;
use crate::lab::enter::{Target, run_inside};
use crate::model::{NodeName, PodName};

use super::LabArg;
use super::inside::exit_code;

/// As shells report it (POSIX.1 §2.8.2).
const NO_SUCH_COMMAND: u8 = 127;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    lab: LabArg,
    /// A node, or a pod, or `underlay`: what lies between the nodes
    #[arg(value_name = "NODE|POD")]
    place: String,
    /// The pod's namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// What to run [default: $SHELL]
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let lab = args.lab.live_dir()?;
    let target = target(&lab, args)?;
    let mut command = match args.command.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        None => shell(&args.place),
    };
    match run_inside(&lab, &target, &mut command) {
        Err(error) if error.is_no_such_command() => {
            eprintln!("error: {error}: there is no such command");
            Ok(ExitCode::from(NO_SUCH_COMMAND))
        }
        status => Ok(ExitCode::from(exit_code(status?))),
    }
}

/// A node's name comes first; a pod of the same name is `pod/NAME`.
fn target(lab: &LabDir, args: &Args) -> anyhow::Result<Target> {
    if let Some(pod) = args.place.strip_prefix("pod/") {
        return Ok(Target::Pod(PodName::new(&args.namespace, pod)));
    }
    if args.place == "underlay" {
        return Ok(Target::Lab);
    }
    let status = Status::ask(lab)?;
    let place = args.place.strip_prefix("node/").unwrap_or(&args.place);
    if status.nodes.contains_key(place) {
        return Ok(Target::Node(NodeName::new(place)?));
    }
    if place != args.place {
        let names: Vec<&str> = status.nodes.keys().map(String::as_str).collect();
        anyhow::bail!("there is no node {place}; there are {}", names.join(", "));
    }
    // As `podnet check` prints it.
    if let Ok(pod) = PodName::parse(place) {
        return Ok(Target::Pod(pod));
    }
    Ok(Target::Pod(PodName::new(&args.namespace, place)))
}

fn shell(place: &str) -> Command {
    let program = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let mut command = Command::new(program);
    command.env("PS1", format!("[{place}] \\w \\$ "));
    command
}
