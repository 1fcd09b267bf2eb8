//! Claiming a node's CIDR: a Lease whose name is the CIDR.
//!
//! The API server refuses to make two objects of one name, so two nodes never
//! hold one CIDR, whatever dies and whenever. The Lease is owned by its Node,
//! so the garbage collector frees the CIDR when the Node is deleted.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use thiserror::Error;

use crate::ipam;
use crate::model::{ClusterRanges, NodeCidrs, NodeName};

use super::client::{ApiError, is_conflict, is_not_found, timely};

/// Where the Leases are.
pub const CLAIM_NAMESPACE: &str = "kube-system";
const LABEL: &str = "podnet.dev/claim";
const LABEL_VALUE: &str = "pod-cidr";

#[derive(Debug, Error)]
pub enum ClaimError {
    #[error(
        "cluster range {ranges} is used up: its {capacity} node ranges are held by {holders} \
         nodes; delete a node, or make the range or the node mask larger"
    )]
    UsedUp {
        ranges: ClusterRanges,
        capacity: u32,
        holders: usize,
    },
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// The CIDRs of `node`: those it holds already, else the first free ones in its
/// order of candidates. A lost race costs one request and is no error.
pub async fn claim(
    client: &Client,
    ranges: &ClusterRanges,
    node: &NodeName,
    node_uid: &str,
) -> Result<NodeCidrs, ClaimError> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), CLAIM_NAMESPACE);
    let claimant = Claimant {
        leases,
        node,
        node_uid,
    };
    let held = claimant.held().await?;
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut mine: BTreeSet<String> = BTreeSet::new();
    for (name, owner) in &held {
        let set = if owner == node_uid {
            &mut mine
        } else {
            &mut taken
        };
        set.insert(name.clone());
    }
    let already = |index: &u32| names(ranges, *index).iter().any(|name| mine.contains(name));
    let kept: Vec<u32> = ipam::candidates(ranges, node)
        .filter(|index| !mine.is_empty() && already(index))
        .collect();
    let fresh = ipam::candidates(ranges, node).filter(|index| !kept.contains(index));
    for index in kept.iter().copied().chain(fresh) {
        let wanted = names(ranges, index);
        if wanted.iter().any(|name| taken.contains(name)) {
            continue;
        }
        if claimant.take_all(&wanted, &mut mine, &mut taken).await?
            && let Some(cidrs) = ipam::nth(ranges, index)
        {
            return Ok(cidrs);
        }
    }
    Err(ClaimError::UsedUp {
        ranges: ranges.clone(),
        capacity: ipam::capacity(ranges),
        holders: held.values().collect::<BTreeSet<_>>().len(),
    })
}

fn names(ranges: &ClusterRanges, index: u32) -> Vec<String> {
    let cidrs = ipam::nth(ranges, index);
    cidrs
        .iter()
        .flat_map(NodeCidrs::iter)
        .map(ipam::lease_name)
        .collect()
}

struct Claimant<'a> {
    leases: Api<Lease>,
    node: &'a NodeName,
    node_uid: &'a str,
}

impl Claimant<'_> {
    /// Lease name → uid of the node that owns it.
    async fn held(&self) -> Result<BTreeMap<String, String>, ApiError> {
        let ours = ListParams::default().labels(&format!("{LABEL}={LABEL_VALUE}"));
        let list = timely(self.leases.list(&ours))
            .await
            .map_err(ApiError::request("list the claimed pod CIDRs"))?;
        let owner = |lease: &Lease| lease.owner_references().first().map(|o| o.uid.clone());
        Ok(list
            .iter()
            .map(|lease| (lease.name_any(), owner(lease).unwrap_or_default()))
            .collect())
    }

    /// All of `wanted` or none of it: a dual-stack node that loses the race for
    /// its second family gives the first one back.
    async fn take_all(
        &self,
        wanted: &[String],
        mine: &mut BTreeSet<String>,
        taken: &mut BTreeSet<String>,
    ) -> Result<bool, ApiError> {
        for name in wanted {
            if mine.contains(name) {
                continue;
            }
            let lease = self.lease(name);
            match timely(self.leases.create(&PostParams::default(), &lease)).await {
                Ok(_) => {
                    mine.insert(name.clone());
                }
                Err(error) if is_conflict(&error) => {
                    taken.insert(name.clone());
                    self.give_back(wanted, mine).await?;
                    return Ok(false);
                }
                Err(error) => {
                    return Err(ApiError::request(format!("claim {name}"))(error));
                }
            }
        }
        Ok(true)
    }

    async fn give_back(
        &self,
        wanted: &[String],
        mine: &mut BTreeSet<String>,
    ) -> Result<(), ApiError> {
        for name in wanted.iter().filter(|name| mine.remove(*name)) {
            match timely(self.leases.delete(name, &DeleteParams::default())).await {
                Err(error) if !is_not_found(&error) => {
                    return Err(ApiError::request(format!("give back {name}"))(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn lease(&self, name: &str) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some([(LABEL.to_owned(), LABEL_VALUE.to_owned())].into()),
                owner_references: Some(vec![owner(self.node, self.node_uid)]),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.node.to_string()),
                ..LeaseSpec::default()
            }),
        }
    }
}

/// What makes an object go when its node goes.
pub(super) fn owner(node: &NodeName, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.to_string(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    }
}
