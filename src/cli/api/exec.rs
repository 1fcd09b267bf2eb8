//! `podnet exec` and `podnet attach`.

use std::process::ExitCode;

use kube::Client;

use super::resource::escape;
use super::session::{self, Wanted};
use super::{ClusterArg, NamespaceArg, target};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    #[command(flatten)]
    place: ContainerArg,
    #[command(flatten)]
    wanted: Wanted,
    /// What to run, after --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct AttachArgs {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    #[command(flatten)]
    place: ContainerArg,
    #[command(flatten)]
    wanted: Wanted,
}

/// Which container a verb is about.
#[derive(Debug, clap::Args)]
struct ContainerArg {
    /// The pod, or what keeps it, such as deployment/web
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    namespace: NamespaceArg,
    /// The container; needed where a pod has several
    #[arg(short, long)]
    container: Option<String>,
}

impl ContainerArg {
    /// The URL of a subresource of the pod, up to the parameters that follow.
    async fn url(&self, client: &Client, subresource: &str) -> anyhow::Result<String> {
        let target = target::find(client, &self.namespace.namespace, &self.pod).await?;
        let path = pod_path(&self.namespace, &target.pod);
        let container = self.container.as_deref().map(escape);
        let container = container.map(|name| format!("container={name}&"));
        Ok(format!(
            "{path}/{subresource}?{}",
            container.unwrap_or_default()
        ))
    }
}

/// The URL of a pod.
pub(super) fn pod_path(namespace: &NamespaceArg, pod: &str) -> String {
    format!(
        "/api/v1/namespaces/{}/pods/{}",
        escape(&namespace.namespace),
        escape(pod)
    )
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let wanted = args.wanted.settled();
    let mut url = args.place.url(client, "exec").await? + &wanted.query();
    for word in &args.command {
        url += &format!("&command={}", escape(word));
    }
    let status = session::run(client, &url, wanted).await?;
    Ok(session::exit_code(&status)?.into())
}

pub async fn attach(client: &Client, args: &AttachArgs) -> anyhow::Result<ExitCode> {
    let wanted = args.wanted.settled();
    let url = args.place.url(client, "attach").await? + &wanted.query();
    let status = session::run(client, &url, wanted).await?;
    Ok(session::exit_code(&status)?.into())
}
