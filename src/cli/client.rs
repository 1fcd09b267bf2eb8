//! Speaking to a lab's API, as its user.

use anyhow::Context;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use std::collections::BTreeMap;
use tokio::runtime::Runtime;

use crate::cluster::{self, PodView};
use crate::lab::LabDir;

/// A runtime for one command's conversation with the API.
pub fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")
}

/// A client with the lab's own kubeconfig. It does not connect yet, and does not
/// retry on its own: callers know better for how long.
pub async fn connect(lab: &LabDir) -> anyhow::Result<Client> {
    Ok(cluster::connect(&lab.kubeconfig()).await?)
}

/// Deletes the Node objects of nodes that left the lab, and says which pods go
/// with them. Idempotent.
pub async fn forget_nodes(client: &Client, names: &[String]) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let gone = |pod: &&PodView| pod.node.as_ref().is_some_and(|node| names.contains(node));
    let pods = cluster::list_pods(client).await?;
    let with_them: Vec<String> = pods
        .iter()
        .filter(gone)
        .map(|p| p.pod.to_string())
        .collect();
    if !with_them.is_empty() {
        eprintln!(
            "pods that go with {}: {}",
            names.join(", "),
            with_them.join(", ")
        );
    }
    let nodes: Api<Node> = Api::all(client.clone());
    for name in names {
        match nodes.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot delete Node {name}"));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Sets the labels that the lab gives a node, and leaves the others.
pub async fn relabel_node(
    client: &Client,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let patch = serde_json::json!({"metadata": {"labels": labels}});
    nodes
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .with_context(|| format!("cannot label Node {name}"))?;
    Ok(())
}
