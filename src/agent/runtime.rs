//! What the agent asks of whoever runs its pods.

use std::future::Future;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::cluster::{ContainersReport, Recorder};
use crate::model::PodName;

/// Which pod: its name, and the uid that tells it from one of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodIdentity {
    pub pod: PodName,
    pub uid: String,
    pub hostname: String,
    /// It lives in its node's own network.
    pub host_network: bool,
}

/// What a pod is to be, as far as it changes while it is there.
#[derive(Clone, Debug)]
pub struct Assignment {
    pub pod: Arc<Pod>,
    /// Primary family first.
    pub addresses: Vec<IpAddr>,
}

/// What it takes to tend a pod's containers.
pub struct Tending {
    pub assignment: watch::Receiver<Assignment>,
    /// What was reported last, where that is newer than what the object says.
    pub before: Option<Arc<ContainersReport>>,
    pub host_addresses: Vec<IpAddr>,
    /// When the node first saw the pod.
    pub started: Timestamp,
    pub client: Client,
    pub events: Recorder,
    pub reports: Reports,
}

/// Where reports on one sandbox's containers go.
pub struct Reports {
    pub uid: String,
    pub container_id: String,
    pub sender: mpsc::Sender<Reported>,
}

/// How the containers of one sandbox are.
pub struct Reported {
    pub uid: String,
    pub container_id: String,
    pub report: Arc<ContainersReport>,
}

impl Reports {
    /// Waits for the agent to take it.
    pub async fn send(&self, report: Arc<ContainersReport>) {
        let reported = Reported {
            uid: self.uid.clone(),
            container_id: self.container_id.clone(),
            report,
        };
        // Without an agent there is nobody to tell.
        let _ = self.sender.send(reported).await;
    }
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

    /// End it, by force after `grace`. What it wrote stays. Idempotent.
    fn stop(&self, sandbox: &Self::Sandbox, grace: Duration) -> impl Future<Output = ()> + Send;

    /// Have the pod's containers run as its object asks, until it is over: they have all
    /// ended and none is to start again, or the sandbox has ended.
    fn tend(
        &self,
        sandbox: Arc<Self::Sandbox>,
        tending: Tending,
    ) -> impl Future<Output = ()> + Send;

    /// Take away what a pod that is gone left on disk. Blocks. Idempotent.
    fn clear(&self, uid: &str);

    /// The uids of all pods that have something on disk. Blocks, but not for long.
    fn left(&self) -> Vec<String>;
}
