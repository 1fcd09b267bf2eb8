//! Claiming pod CIDRs against a real server: many nodes at once.

use std::collections::BTreeSet;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use podnet::cluster::{
    CLAIM_NAMESPACE, ClaimError, Registration, claim, list_nodes, register, set_pod_cidrs,
};
use podnet::model::{ClusterRanges, NodeCidrs, NodeName, Pool};

use crate::lab::{Lab, eventually};

fn ranges(pools: &[(&str, u8)]) -> ClusterRanges {
    let pool = |(range, mask): &(&str, u8)| Pool::new(range.parse().unwrap(), *mask).unwrap();
    ClusterRanges::new(pools.iter().map(pool).collect()).unwrap()
}

/// Registers and claims, as an agent does at its start.
async fn join(lab: &Lab, name: String, ranges: &ClusterRanges) -> Result<NodeCidrs, ClaimError> {
    let ours = Registration {
        name: NodeName::new(&name).unwrap(),
        labels: Default::default(),
        addresses: Vec::new(),
        mac: None,
    };
    let node = register(&lab.client, &ours).await?;
    let cidrs = claim(&lab.client, ranges, &node.name, &node.uid).await?;
    set_pod_cidrs(&lab.client, &node.name, &cidrs).await?;
    Ok(cidrs)
}

fn all_disjoint(all: &[NodeCidrs]) {
    for (i, one) in all.iter().enumerate() {
        for other in &all[i + 1..] {
            assert!(!one.overlaps(other), "{one} and {other}");
        }
    }
}

/// Names without numbers start at hashes, so some of them do collide.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_nodes_at_once_end_with_fifty_disjoint_ranges() {
    let lab = Lab::start().await;
    let families: [&[(&str, u8)]; 2] = [
        &[("10.244.0.0/18", 24)],
        &[("10.96.0.0/18", 24), ("fd00:10:244::/58", 64)],
    ];
    let mut before = 0;
    for (round, pools) in families.into_iter().enumerate() {
        let ranges = ranges(pools);
        let name = |n: usize| match round {
            0 => format!("n{n}x"),
            _ => format!("node-{}", n / 2 * 1000 + n % 2),
        };
        let joining = (0..50).map(|n| join(&lab, name(n), &ranges));
        let joined = futures::future::try_join_all(joining).await.unwrap();
        assert_eq!(joined.iter().collect::<BTreeSet<_>>().len(), 50);
        all_disjoint(&joined);
        let nodes = list_nodes(&lab.client).await.unwrap();
        let written: BTreeSet<NodeCidrs> = nodes.into_iter().filter_map(|n| n.cidrs).collect();
        assert!(joined.iter().all(|cidrs| written.contains(cidrs)));
        let leases: Api<Lease> = Api::namespaced(lab.client.clone(), CLAIM_NAMESPACE);
        let held = leases
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len();
        let per_node = pools.len();
        assert_eq!(held - before, 50 * per_node, "no claim is left over");
        before = held;
    }
}

#[tokio::test]
async fn a_claim_is_kept_and_goes_with_its_node() {
    let lab = Lab::start().await;
    let ranges = ranges(&[("10.244.0.0/23", 24)]);
    let one = join(&lab, "node-1".into(), &ranges).await.unwrap();
    // An agent that died between its claim and writing it down finds it again.
    let again = join(&lab, "node-1".into(), &ranges).await.unwrap();
    assert_eq!(one, again);
    let two = join(&lab, "node-2".into(), &ranges).await.unwrap();
    all_disjoint(&[one.clone(), two]);

    let refused = join(&lab, "node-3".into(), &ranges)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("cluster range 10.244.0.0/23 is used up")
            && refused.contains("2 node ranges are held by 2 nodes"),
        "{refused}"
    );

    let nodes: Api<Node> = Api::all(lab.client.clone());
    nodes
        .delete("node-1", &DeleteParams::default())
        .await
        .unwrap();
    let freed = eventually("the range is free", async || {
        join(&lab, "node-3".into(), &ranges).await.ok()
    })
    .await;
    assert_eq!(freed, one);
}
