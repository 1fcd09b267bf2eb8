//! `podnet agent`: one thread, since an agent mostly waits.

use std::process::ExitCode;

use crate::agent::{self, Config};
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
        let runtime = pods_dir.map(|dir| Runtime::new(dir, &config, &args.pods));
        let runtime = runtime.transpose()?;
        Ok(agent::run(config, runtime).await?)
    })
}
