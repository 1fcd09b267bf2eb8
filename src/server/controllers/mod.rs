//! The controllers: tasks that bring the cluster to what its objects say.
//!
//! ```text
//!  store ── Informer ──► what is (in memory) ── pure decision ──► store.write
//! ```
//!
//! All are level-triggered: an event only says where to look. What a controller writes it decides again
//! on the writer's own view, so that an old look never undoes a newer change. One that falls behind the
//! ring of events starts over from the present.

mod api_service;
mod behind;
mod daemon_set;
mod deployment;
mod endpoints;
mod event_record;
mod garbage;
mod informer;
mod namespaces;
mod node_lifecycle;
mod node_taints;
mod orphaned_pods;
mod owned;
mod placement;
mod pod_view;
mod propagation;
mod queue;
mod replica_set;
mod scheduler;
mod selectors;
mod service_accounts;
mod taint_eviction;
mod template;
mod unready_nodes;
mod workload;
mod write;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::status::ApiError;
use super::store::Store;

/// A node that has not been heard of for this long is presumed lost (node-monitor-grace-period).
const NODE_GRACE: Duration = Duration::from_secs(40);

/// Starts all controllers. They end with `stopping`, and otherwise never.
pub fn spawn(parts: &mut JoinSet<()>, store: &Store, stopping: &CancellationToken) {
    start(parts, stopping, scheduler::run(store.clone()));
    start(parts, stopping, garbage::run(store.clone()));
    start(parts, stopping, propagation::run(store.clone()));
    start(parts, stopping, namespaces::run(store.clone()));
    start(parts, stopping, orphaned_pods::run(store.clone()));
    start(parts, stopping, node_lifecycle::run(store.clone()));
    start(parts, stopping, unready_nodes::run(store.clone()));
    start(parts, stopping, node_taints::run(store.clone()));
    start(parts, stopping, taint_eviction::run(store.clone()));
    start(parts, stopping, event_record::expire(store.clone()));
    start(parts, stopping, service_accounts::run(store.clone()));
    start(parts, stopping, endpoints::run(store.clone()));
    for kind in [&replica_set::KIND, &deployment::KIND, &daemon_set::KIND] {
        start(parts, stopping, workload::run(store.clone(), kind));
    }
}

/// Keeps the service by which pods would find this server.
pub fn announce(
    parts: &mut JoinSet<()>,
    store: &Store,
    stopping: &CancellationToken,
    listens: Vec<SocketAddr>,
) {
    start(parts, stopping, api_service::run(store.clone(), listens));
}

fn start(
    parts: &mut JoinSet<()>,
    stopping: &CancellationToken,
    controller: impl Future<Output = ()> + Send + 'static,
) {
    let stopping = stopping.clone();
    parts.spawn(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = controller => {}
        }
    });
}

/// Waits for a moment; forever where there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Notes a write that failed. An object that is gone or has changed will be looked at again, because
/// that change is an event too.
fn note<T>(what: &str, result: Result<T, ApiError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(ApiError::NotFound { .. } | ApiError::Conflict { .. }) => None,
        Err(error) => {
            tracing::warn!(%error, "cannot {what}");
            None
        }
    }
}
