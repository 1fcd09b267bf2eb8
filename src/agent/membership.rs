//! Being a node of the cluster: registering, claiming a range, staying alive.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tracing::{info, warn};

use crate::cluster::{
    self, ApiError, ClaimError, Health, NodeView, Reach, Registration, claim, register,
    set_pod_cidrs, set_status,
};
use crate::model::{NodeCidrs, NodeName};
use crate::plan::Peer;

use super::config::Config;

/// kubelet renews its lease at a quarter of its 40 s.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What joining came to.
pub struct Membership {
    pub uid: String,
    pub cidrs: NodeCidrs,
}

/// Register and get a range, however long that takes: a server that is not
/// there yet is waited for, and a used-up range is said in the node's status
/// and tried again.
pub async fn join(
    client: &Client,
    config: &Config,
    ours: &Registration,
    reach: &Reach,
) -> Result<Membership, ApiError> {
    let mut pause = Pause::default();
    loop {
        match try_join(client, config, ours).await {
            Ok(membership) => {
                reach.answered();
                return Ok(membership);
            }
            Err(ClaimError::Api(error)) if !error.can_retry() => return Err(error),
            Err(ClaimError::Api(error)) => reach.failed(&error),
            Err(error) => {
                warn!("{error}");
                if let ClaimError::UsedUp { .. } = &error {
                    let health = Health::NotReady("PodCIDRsUsedUp", error.to_string());
                    reach.note(&set_status(client, ours, &health).await);
                }
            }
        }
        pause.wait().await;
    }
}

async fn try_join(
    client: &Client,
    config: &Config,
    ours: &Registration,
) -> Result<Membership, ClaimError> {
    let node = register(client, ours).await?;
    if let Some(cidrs) = node.cidrs {
        info!("node {} has {cidrs}", node.name);
        return Ok(Membership {
            uid: node.uid,
            cidrs,
        });
    }
    let cidrs = claim(client, &config.ranges, &config.node, &node.uid).await?;
    set_pod_cidrs(client, &config.node, &cidrs).await?;
    info!("node {} claimed {cidrs}", node.name);
    Ok(Membership {
        uid: node.uid,
        cidrs,
    })
}

/// Renew the lease for as long as the future is polled. Once somebody has found the API out of reach, it
/// is this that finds out soon that it is not any more.
pub async fn keep_alive(client: Client, node: NodeName, uid: Arc<str>, reach: Reach) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pause = Pause::default();
    loop {
        let renewed = cluster::heartbeat(&client, &node, &uid).await;
        reach.note(&renewed);
        if renewed.is_ok() {
            pause = Pause::default();
            tokio::select! {
                _ = ticks.tick() => {}
                () = reach.lost() => {}
            }
        } else {
            pause.wait().await;
        }
    }
}

/// Every other node that can be routed to. One with an address of our own is
/// what is left of a node that was here before.
pub fn peers<'a>(nodes: impl Iterator<Item = &'a NodeView>, own: &Config) -> Vec<Peer> {
    nodes
        .filter(|node| node.name != own.node)
        .filter(|node| !node.addresses.iter().any(|ip| own.addresses.contains(ip)))
        .filter_map(NodeView::peer)
        .collect()
}

/// 20 ms, doubling to 2 s.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Pause {
        Pause(FIRST_PAUSE)
    }
}

impl Pause {
    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}
