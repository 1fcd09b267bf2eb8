//! The `podnet` program.

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
enum Command {
    /// Serve the Kubernetes API
    Server(podnet::server::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let Command::Server(args) = Command::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        terminate.recv().await;
    };
    Ok(podnet::server::run(args, shutdown).await?)
}
