//! What the agent asks of whoever runs its pods.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::time::Duration;

use thiserror::Error;

use crate::model::PodName;

/// Which pod: its name, and the uid that tells it from one of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodIdentity {
    pub pod: PodName,
    pub uid: String,
    pub hostname: String,
}

#[derive(Debug, Error)]
#[error("{step} of pod {pod}: {reason}")]
pub struct RuntimeError {
    pub step: &'static str,
    pub pod: PodName,
    pub reason: String,
}

/// Makes sandboxes: sets of namespaces that live until they are stopped, and
/// longer than the agent.
pub trait PodRuntime: Send + Sync + 'static {
    type Sandbox: Send + Sync + 'static;

    /// A new sandbox, its host name set and its network still empty.
    fn start(
        &self,
        pod: &PodIdentity,
    ) -> impl Future<Output = Result<Self::Sandbox, RuntimeError>> + Send;

    /// The sandboxes that an earlier agent left, and nothing else of it.
    fn adopt(&self) -> impl Future<Output = Vec<(PodIdentity, Self::Sandbox)>> + Send;

    /// A name that no other sandbox on this node has had.
    fn container_id<'a>(&self, sandbox: &'a Self::Sandbox) -> &'a str;

    fn netns<'a>(&self, sandbox: &'a Self::Sandbox) -> &'a OwnedFd;

    /// Ready when the sandbox has ended, however it ended.
    fn ended(&self, sandbox: &Self::Sandbox) -> impl Future<Output = ()> + Send;

    /// End it, by force after `grace`, and clear what is left of it. Idempotent.
    fn stop(&self, sandbox: &Self::Sandbox, grace: Duration) -> impl Future<Output = ()> + Send;
}
