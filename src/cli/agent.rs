//! `podnet agent`: one thread, since an agent mostly waits.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::agent::{self, Args, Config};
use crate::model::Family;
use crate::pod::Runtime;
use crate::pod::kubelet::Kubelet;

pub fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    let socket = args.socket.take();
    let config = Config::try_from(args)?;
    let pods_dir = config.pods_dir.clone();
    let ipv6 = config.ranges.has(Family::V6);
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio.block_on(async {
        let kubelet = kubelet(socket, pods_dir.as_ref())?;
        let runtime = pods_dir.map(|dir| Runtime::new(dir, ipv6)).transpose()?;
        let answering = async {
            match kubelet {
                Some(kubelet) => kubelet.serve().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = agent::run(config, runtime) => Ok(ended?),
            never = answering => match never {},
        }
    })
}

fn kubelet(socket: Option<PathBuf>, pods_dir: Option<&PathBuf>) -> anyhow::Result<Option<Kubelet>> {
    match (socket, pods_dir) {
        (Some(socket), Some(pods_dir)) => Ok(Some(Kubelet::bind(&socket, pods_dir)?)),
        _ => Ok(None),
    }
}
