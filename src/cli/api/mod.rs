//! kubectl's verbs, for a box without kubectl: the same API, flags, tables and words.
//!
//! Everything here is generic over what the server says it has, but for descriptions.

mod api_resources;
mod apply;
mod containers;
mod create;
mod delete;
mod describe;
mod drain;
mod duration;
mod exec;
mod failure;
mod follow;
mod get;
mod going;
mod http;
mod label;
mod logs;
mod manifest;
mod nodes;
mod patch;
mod port_forward;
mod print;
mod prune;
mod raw;
mod replace;
mod resource;
mod rollout;
mod run;
mod scale;
mod select;
mod session;
mod sort;
mod target;
mod validate;
mod wait;
mod watch;

pub use api_resources::Args as ApiResourcesArgs;
pub use apply::Args as ApplyArgs;
pub use create::Args as CreateArgs;
pub use delete::Args as DeleteArgs;
pub use describe::Args as DescribeArgs;
pub use drain::Args as DrainArgs;
pub use exec::{Args as ExecArgs, AttachArgs};
pub use get::Args as GetArgs;
pub use label::Args as LabelArgs;
pub use logs::Args as LogsArgs;
pub use nodes::Args as CordonArgs;
pub use patch::Args as PatchArgs;
pub use port_forward::Args as PortForwardArgs;
pub use replace::Args as ReplaceArgs;
pub use rollout::Args as RolloutArgs;
pub use run::Args as RunArgs;
pub use scale::Args as ScaleArgs;
pub use wait::Args as WaitArgs;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use kube::Client;

use self::http::explain;
use super::LabArg;
use super::client::{connect, runtime};
use crate::cluster;
use label::What;

/// Whose API a verb speaks to.
#[derive(Debug, clap::Args)]
pub struct ClusterArg {
    #[command(flatten)]
    lab: LabArg,
    /// Another cluster than a lab: its kubeconfig
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl ClusterArg {
    async fn connect(&self) -> anyhow::Result<Client> {
        match &self.kubeconfig {
            Some(path) => Ok(cluster::connect(path).await?),
            None => connect(&self.lab.live_dir()?).await,
        }
    }
}

/// Which namespace a verb is about.
#[derive(Debug, clap::Args)]
struct NamespaceArg {
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum DryRun {
    #[default]
    None,
    Client,
    Server,
}

#[derive(Debug, Default, clap::Args)]
struct DryRunArg {
    /// Change nothing: say what would be sent (client), or let the server say what it would do
    #[arg(long, value_enum, default_value = "none", num_args = 0..=1,
        default_missing_value = "client", require_equals = true, value_name = "WHERE")]
    dry_run: DryRun,
}

impl DryRunArg {
    fn is_any(&self) -> bool {
        self.dry_run != DryRun::None
    }

    fn is_client(&self) -> bool {
        self.dry_run == DryRun::Client
    }

    fn is_server(&self) -> bool {
        self.dry_run == DryRun::Server
    }

    /// What follows a participle.
    fn suffix(&self) -> &'static str {
        match self.dry_run {
            DryRun::None => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        }
    }

    /// What follows the other parameters of a URL.
    fn parameter(&self) -> &'static str {
        match self.is_server() {
            true => "&dryRun=All",
            false => "",
        }
    }
}

pub fn get(args: &GetArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| get::run(&client, args).await)
}

pub fn describe(args: &DescribeArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        describe::run(&client, args).await
    })
}

pub fn logs(args: &LogsArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| logs::run(&client, args).await)
}

pub fn exec(args: &ExecArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| exec::run(&client, args).await)
}

pub fn attach(args: &AttachArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        exec::attach(&client, args).await
    })
}

pub fn port_forward(args: &PortForwardArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        port_forward::run(&client, args).await
    })
}

pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| run::run(&client, args).await)
}

pub fn create(args: &CreateArgs) -> anyhow::Result<ExitCode> {
    with_client(args.cluster(), async |client| {
        create::run(&client, args).await
    })
}

pub fn apply(args: &ApplyArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        apply::run(&client, args).await
    })
}

pub fn patch(args: &PatchArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        patch::run(&client, args).await
    })
}

pub fn replace(args: &ReplaceArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        replace::run(&client, args).await
    })
}

pub fn delete(args: &DeleteArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        delete::run(&client, args).await
    })
}

pub fn label(args: &LabelArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        label::run(&client, args, What::Labels).await
    })
}

pub fn annotate(args: &LabelArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        label::run(&client, args, What::Annotations).await
    })
}

pub fn wait(args: &WaitArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| wait::run(&client, args).await)
}

pub fn scale(args: &ScaleArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        scale::run(&client, args).await
    })
}

pub fn rollout(args: &RolloutArgs) -> anyhow::Result<ExitCode> {
    with_client(args.cluster(), async |client| {
        rollout::run(&client, args).await
    })
}

pub fn cordon(args: &CordonArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        nodes::run(&client, args, true).await
    })
}

pub fn uncordon(args: &CordonArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        nodes::run(&client, args, false).await
    })
}

pub fn drain(args: &DrainArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        drain::run(&client, args).await
    })
}

pub fn api_resources(args: &ApiResourcesArgs) -> anyhow::Result<ExitCode> {
    with_client(&args.cluster, async |client| {
        api_resources::run(&client, args).await
    })
}

/// A failure is told here: in kubectl's words, which scripts look for.
fn with_client(
    cluster: &ClusterArg,
    verb: impl AsyncFnOnce(Client) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let done = runtime()?.block_on(async { verb(cluster.connect().await?).await });
    Ok(done.unwrap_or_else(|error| {
        eprintln!("{}", failure::told(&error));
        ExitCode::FAILURE
    }))
}
