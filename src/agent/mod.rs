//! One node.
//!
//! ```text
//!   nodes, pods (watch) ─┐                       ┌─► plan ─► kernel
//!   kernel's changes ────┼─► Event ─► Agent ─────┼─► jobs (start, stop, report)
//!   jobs that ended ─────┤   (one task owns      └─► the node's own object
//!   pods' containers ────┤    all state)
//!   timers ──────────────┘
//! ```
//!
//! Events only say *look again*: what is done comes from a fresh observation.
//! The data plane needs none of this: kill the agent and packets keep flowing;
//! a new one looks, and finds nothing to do.

mod config;
mod conflist;
mod core;
mod dry_run;
mod event;
mod fabric;
mod jobs;
mod membership;
mod pod_events;
mod pods;
mod runtime;
mod sockets;
mod standing;

pub use config::{Args, Config, ConfigError};
pub use dry_run::plan;
pub use runtime::{Assignment, PodIdentity, PodRuntime, Reported, Reports, RuntimeError, Tending};

use std::process::ExitCode;

use thiserror::Error;

use crate::cluster::{self, ApiError};
use crate::kernel::KernelError;

/// What `podnet agent` exits with when its Node object was deleted: the node
/// has withdrawn from the cluster and is not to be restarted.
pub const EXIT_NODE_DELETED: u8 = 3;

#[derive(Debug, Error)]
pub enum AgentError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error("{0}")]
    Start(#[from] std::io::Error),
    #[error("a job of the agent was lost: {0}")]
    Job(#[source] tokio::task::JoinError),
    #[error("node {0} was deleted and made again by somebody else; starting over")]
    Replaced(crate::model::NodeName),
}

/// Run until told to stop (SIGTERM, SIGINT) or until the Node is deleted.
/// `runtime` is `None` where somebody else runs the pods.
pub async fn run<R: PodRuntime>(
    config: Config,
    runtime: Option<R>,
) -> Result<ExitCode, AgentError> {
    let client = cluster::connect(&config.kubeconfig).await?;
    core::run(client, config, runtime).await
}
