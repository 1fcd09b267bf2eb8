//! kubectl's verbs, for a box without kubectl: the same API, flags and tables.

mod create;
mod delete;
mod exec;
mod get;
mod logs;
mod manifest;
mod port_forward;
mod resource;
mod run;
mod session;
mod table;

pub use create::Args as CreateArgs;
pub use delete::Args as DeleteArgs;
pub use exec::{Args as ExecArgs, AttachArgs};
pub use get::Args as GetArgs;
pub use logs::Args as LogsArgs;
pub use port_forward::Args as PortForwardArgs;
pub use run::Args as RunArgs;

use std::process::ExitCode;

use anyhow::bail;
use kube::Client;

use super::LabArg;
use super::client::{connect, runtime};
use resource::escape;

/// Which namespace a verb is about.
#[derive(Debug, clap::Args)]
struct NamespaceArg {
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

/// Which objects of a kind a verb is about.
#[derive(Debug, clap::Args)]
struct SelectorArg {
    /// Only objects with these labels: k=v, k!=v, k, !k, 'k in (a,b)'
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

impl SelectorArg {
    fn is_given(&self) -> bool {
        self.selector.is_some()
    }

    /// The URL of those in `collection`.
    fn apply(&self, collection: &str) -> String {
        match &self.selector {
            Some(selector) => format!("{collection}?labelSelector={}", escape(selector)),
            None => collection.to_owned(),
        }
    }
}

pub fn get(args: &GetArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.lab, async |client| get::run(&client, args).await)
}

pub fn logs(args: &LogsArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.lab, async |client| logs::run(&client, args).await)
}

pub fn exec(args: &ExecArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.lab, async |client| exec::run(&client, args).await)
}

pub fn attach(args: &AttachArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.lab, async |client| exec::attach(&client, args).await)
}

pub fn port_forward(args: &PortForwardArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.lab, async |client| {
        port_forward::run(&client, args).await
    })
}

pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.lab, async |client| run::run(&client, args).await)
}

pub fn create(args: &CreateArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.lab, async |client| create::run(&client, args).await)
}

pub fn delete(args: &DeleteArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.lab, async |client| delete::run(&client, args).await)
}

fn with_client(
    lab: &LabArg,
    verb: impl AsyncFnOnce(Client) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let dir = lab.live_dir()?;
    runtime()?.block_on(async { verb(connect(&dir).await?).await })
}

/// The server's own words, as kubectl prints them.
fn explain(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if !status.reason.is_empty() => {
            anyhow::anyhow!("{} ({})", status.message, status.reason)
        }
        other => other.into(),
    }
}

/// Names and `--all`/`-l` exclude each other, and one of them is needed.
fn one_way_to_choose(names: &[String], selected: bool) -> anyhow::Result<()> {
    match (names.is_empty(), selected) {
        (true, false) => bail!("name what to delete, or choose it with -l or --all"),
        (false, true) => bail!("give names, or -l or --all, but not both"),
        _ => Ok(()),
    }
}
