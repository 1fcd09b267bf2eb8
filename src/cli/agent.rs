//! `podnet agent`: one thread, since an agent mostly waits.

use std::convert::Infallible;
use std::path::Path;
use std::process::ExitCode;

use crate::agent::{self, Config};
use crate::pod::kubelet::Kubelet;
use crate::pod::{Runtime, Settings};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    agent: agent::Args,
    #[command(flatten)]
    pods: Settings,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = Config::try_from(args.agent)?;
    let pods_dir = config.pods_dir.clone();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio.block_on(async {
        if config.dry_run {
            print!("{}", agent::plan(&config).await?);
            return Ok(ExitCode::SUCCESS);
        }
        let answering = answer(args.pods.socket.as_deref(), pods_dir.as_deref())?;
        let runtime = pods_dir.map(|dir| Runtime::new(dir, &config, &args.pods));
        let runtime = runtime.transpose()?;
        tokio::select! {
            ended = agent::run(config, runtime) => Ok(ended?),
            never = answering => match never {},
        }
    })
}

/// Answers what the API server asks about the pods, if it is to.
fn answer(
    socket: Option<&Path>,
    pods_dir: Option<&Path>,
) -> anyhow::Result<impl Future<Output = Infallible> + use<>> {
    let kubelet = match (socket, pods_dir) {
        (Some(socket), Some(pods_dir)) => Some(Kubelet::bind(socket, pods_dir)?),
        _ => None,
    };
    Ok(async {
        match kubelet {
            Some(kubelet) => kubelet.serve().await,
            None => std::future::pending().await,
        }
    })
}
