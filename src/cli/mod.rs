//! The command line: what can be asked, and how answers and refusals look.
//!
//! Results go to standard output, everything else to standard error. Exit
//! codes: 0 yes, 1 no, 2 could not tell or wrong usage; a command that runs
//! another passes its code on, and one whose output is read no further ends
//! there ([`output`]).

// Its macros are for all that follow.
#[macro_use]
mod output;

mod agent;
mod api;
mod check;
mod client;
mod completion;
mod demo;
mod doctor;
mod down;
mod help;
mod image;
mod inside;
mod leading;
mod node;
mod ready;
mod settle;
mod shell;
mod status;
mod switches;
mod up;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::lab::LabDir;
use crate::lab::bring_up::BringUpError;
use crate::lab::launch;
use crate::lab::topology::{DEFAULT_NAME, LabName, TopologyError};
use crate::pod::programs;
use crate::server;

const USAGE: u8 = 2;
/// What is logged without PODNET_LOG. Connections that end are told by whoever
/// used them.
const LOGGED: &str = "info,kube_client=off,kube_runtime=off";

/// A Kubernetes-style pod network on one Linux box.
#[derive(Debug, Parser)]
#[command(name = "podnet", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a lab up, or make the one that is up as asked
    Up(up::Args),
    /// Take a lab down and remove what it kept
    Down(down::Args),
    /// Show a lab's nodes and processes
    Status(status::Args),
    /// Open a shell, or run a command, inside a node or a pod
    Shell(shell::Args),
    /// Try every pair of pods and nodes, and what must hold at rest
    Check(check::Args),
    /// A tour: a lab, pods, routes, pings, a check, a repair, and down
    Demo(demo::Args),
    /// List objects: as a table, YAML, JSON, or what a path finds in them
    Get(Box<api::GetArgs>),
    /// Tell all about an object, and what happened to it
    Describe(Box<api::DescribeArgs>),
    /// Create the objects of a file; a namespace, config map or deployment
    Create(Box<api::CreateArgs>),
    /// Make objects as a file says, whether they are there or not
    Apply(Box<api::ApplyArgs>),
    /// Put the objects of a file in the place of those that are there
    Replace(Box<api::ReplaceArgs>),
    /// Change fields of objects
    Patch(Box<api::PatchArgs>),
    /// Create a pod and run an image in it
    Run(api::RunArgs),
    /// Delete objects by name, label or all
    Delete(Box<api::DeleteArgs>),
    /// Set and remove labels
    Label(Box<api::LabelArgs>),
    /// Set and remove annotations
    Annotate(Box<api::LabelArgs>),
    /// Wait until objects are as wanted, or gone
    Wait(Box<api::WaitArgs>),
    /// Print what a container wrote
    Logs(api::LogsArgs),
    /// Run a command in a container
    Exec(api::ExecArgs),
    /// Join a container that runs: its output, and with -i its input
    Attach(api::AttachArgs),
    /// Reach ports of a pod from here
    PortForward(api::PortForwardArgs),
    /// Set how many pods a deployment or replica set has
    Scale(Box<api::ScaleArgs>),
    /// Follow a deployment or daemon set to its new pods, or back
    Rollout(Box<api::RolloutArgs>),
    /// Close nodes to new pods
    Cordon(api::CordonArgs),
    /// Open nodes to new pods again
    Uncordon(api::CordonArgs),
    /// Close nodes and move their pods elsewhere
    Drain(Box<api::DrainArgs>),
    /// List the kinds of objects there are
    ApiResources(api::ApiResourcesArgs),
    /// Load images from files, list and remove them
    #[command(subcommand)]
    Image(image::Command),
    /// Print the lab's kubeconfig, or where it is
    Kubeconfig(KubeconfigArgs),
    /// Say whether this machine can run a lab, and how to mend it if not
    Doctor(doctor::Args),
    /// Add a node to a lab that is up, or take one away
    #[command(subcommand)]
    Node(node::Command),
    /// Serve the Kubernetes API; `up` does it for you
    Server(server::Args),
    /// Be a node: claim a range, build its bridge, route to the other nodes
    Agent(agent::Args),
    /// Print what a shell needs to complete these commands
    Completion(completion::Args),
    #[command(hide = true)]
    Settle(settle::Args),
    #[command(hide = true)]
    Supervise(SuperviseArgs),
    #[command(hide = true)]
    Probe(doctor::ProbeArgs),
}

/// Which lab a command is about.
#[derive(Clone, Debug, clap::Args)]
pub struct LabArg {
    /// The lab's name [default: default]
    #[arg(long, env = "PODNET_LAB", value_name = "NAME")]
    lab: Option<String>,
}

impl LabArg {
    pub fn name(&self) -> Result<LabName, TopologyError> {
        LabName::new(self.lab.as_deref().unwrap_or(DEFAULT_NAME))
    }

    pub fn dir(&self) -> Result<LabDir, TopologyError> {
        Ok(LabDir::new(&self.name()?))
    }

    /// The directory of a lab that must be up.
    pub fn live_dir(&self) -> anyhow::Result<LabDir> {
        let dir = self.dir()?;
        if !dir.is_live()? {
            anyhow::bail!("lab {} is not up; `podnet up` starts it", dir.name());
        }
        Ok(dir)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Yaml,
}

#[derive(Debug, clap::Args)]
struct KubeconfigArgs {
    #[command(flatten)]
    lab: LabArg,
    /// Print the file's path, not its contents
    #[arg(long)]
    path: bool,
}

#[derive(Debug, clap::Args)]
struct SuperviseArgs {
    #[command(flatten)]
    lab: LabArg,
    /// Be PID 1 of the namespaces that the parent made
    #[arg(long)]
    init: bool,
}

pub fn main() -> ExitCode {
    // Before anything else: these are many, start often, and have little memory.
    if let Some(code) = programs::dispatch(std::env::args_os()) {
        return code;
    }
    let cli = help::parse();
    let filter = EnvFilter::try_from_env("PODNET_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would be told to stderr as well, and a full disk there would end the process.
        .log_internal_errors(false)
        .init();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            // A log on a full disk takes no more words; the code still says it.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(if is_usage(&error) { USAGE } else { 1 })
        }
    }
}

/// Whether what was asked for could never be, on any machine.
fn is_usage(error: &anyhow::Error) -> bool {
    let while_bringing_up = error.downcast_ref::<BringUpError>();
    error.is::<TopologyError>() || matches!(while_bringing_up, Some(BringUpError::Topology(_)))
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up::run(&args),
        Command::Down(args) => down::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Shell(args) => shell::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Get(args) => api::get(&args),
        Command::Describe(args) => api::describe(&args),
        Command::Create(args) => api::create(&args),
        Command::Apply(args) => api::apply(&args),
        Command::Replace(args) => api::replace(&args),
        Command::Patch(args) => api::patch(&args),
        Command::Run(args) => api::run(&args),
        Command::Delete(args) => api::delete(&args),
        Command::Label(args) => api::label(&args),
        Command::Annotate(args) => api::annotate(&args),
        Command::Wait(args) => api::wait(&args),
        Command::Logs(args) => api::logs(&args),
        Command::Exec(args) => api::exec(&args),
        Command::Attach(args) => api::attach(&args),
        Command::PortForward(args) => api::port_forward(&args),
        Command::Scale(args) => api::scale(&args),
        Command::Rollout(args) => api::rollout(&args),
        Command::Cordon(args) => api::cordon(&args),
        Command::Uncordon(args) => api::uncordon(&args),
        Command::Drain(args) => api::drain(&args),
        Command::ApiResources(args) => api::api_resources(&args),
        Command::Image(command) => image::run(&command),
        Command::Kubeconfig(args) => kubeconfig(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Node(command) => node::run(&command),
        Command::Server(args) => serve(args),
        Command::Agent(args) => agent::run(args),
        Command::Completion(args) => completion::run(&args),
        Command::Settle(args) => settle::run(&args),
        Command::Supervise(args) => {
            let name = args.lab.name()?;
            if args.init {
                launch::supervise_inside(&name)?;
            } else {
                launch::supervise_outside(&name)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Probe(args) => doctor::probe(&args),
    }
}

fn serve(args: server::Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = async move {
            terminate.recv().await;
        };
        anyhow::Ok(server::run(args, shutdown).await?)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn kubeconfig(args: &KubeconfigArgs) -> anyhow::Result<ExitCode> {
    let path: PathBuf = args.lab.live_dir()?.kubeconfig();
    if args.path {
        println!("{}", path.display());
    } else {
        print!("{}", std::fs::read_to_string(&path)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints `value` as asked; `None` asks for a table, which is the caller's.
fn print_structured<T: serde::Serialize>(format: Format, value: &T) -> anyhow::Result<bool> {
    match format {
        Format::Table => return Ok(false),
        Format::Json => println!("{}", serde_json::to_string_pretty(value)?),
        Format::Yaml => println!("{}", serde_saphyr::to_string(value)?.trim_end()),
    }
    Ok(true)
}
