//! `podnet apply --prune`: what an earlier apply made and no file names any more goes.

use std::rc::Rc;

use anyhow::bail;
use kube::Client;
use serde_json::Value;

use super::DryRunArg;
use super::apply::LAST_APPLIED;
use super::going::GoingArg;
use super::print::Voice;
use super::resource::{Catalog, Object, Resource};
use super::select::{SelectorArg, Source};

/// The kinds without an allowlist, of which those count that the server has.
const KINDS: [&str; 16] = [
    "core/v1/ConfigMap",
    "core/v1/Endpoints",
    "core/v1/Namespace",
    "core/v1/PersistentVolumeClaim",
    "core/v1/PersistentVolume",
    "core/v1/Pod",
    "core/v1/ReplicationController",
    "core/v1/Secret",
    "core/v1/Service",
    "batch/v1/Job",
    "batch/v1/CronJob",
    "networking.k8s.io/v1/Ingress",
    "apps/v1/DaemonSet",
    "apps/v1/Deployment",
    "apps/v1/ReplicaSet",
    "apps/v1/StatefulSet",
];

#[derive(Debug, clap::Args)]
pub struct PruneArg {
    /// Delete what an earlier apply made and the files do not name; with -l or --all
    #[arg(long)]
    pub prune: bool,
    /// With --prune: whatever its labels are
    #[arg(long)]
    all: bool,
    /// With --prune: only such kinds: core/v1/ConfigMap
    #[arg(long, value_name = "GROUP/VERSION/KIND", value_delimiter = ',')]
    prune_allowlist: Vec<String>,
}

/// What has been applied.
pub struct Applied<'a> {
    pub objects: &'a [Object],
    pub selector: Option<&'a String>,
    pub field_manager: &'a str,
}

impl PruneArg {
    pub fn check(&self, selector: Option<&String>) -> anyhow::Result<()> {
        match (self.prune, self.all, selector) {
            (_, true, Some(_)) => bail!("cannot set --all and --selector at the same time"),
            (true, false, None) => bail!(
                "all resources selected for prune without explicitly passing --all. To prune all \
                 resources, pass the --all flag. If you did not mean to prune all resources, \
                 specify a label selector"
            ),
            _ => Ok(()),
        }
    }

    /// The kinds that are looked through.
    ///
    /// # Errors
    /// The server does not have one that was asked for.
    pub fn resources(&self, catalog: &Catalog) -> anyhow::Result<Vec<Rc<Resource>>> {
        let named = |name: &str| {
            let parts: Vec<&str> = name.split('/').collect();
            match parts[..] {
                ["core", version, kind] => catalog.of_kind(version, kind),
                [group, version, kind] => catalog.of_kind(&format!("{group}/{version}"), kind),
                _ => bail!(
                    "invalid GroupVersionKind format: {name}, please follow <group/version/kind>"
                ),
            }
        };
        match self.prune_allowlist.is_empty() {
            true => Ok(KINDS.iter().filter_map(|name| named(name).ok()).collect()),
            false => self
                .prune_allowlist
                .iter()
                .map(|name| named(name))
                .collect(),
        }
    }
}

pub async fn run(
    client: &Client,
    resources: &[Rc<Resource>],
    applied: &Applied<'_>,
    (going, dry_run): (&GoingArg, &DryRunArg),
    voice: &mut Voice<'_>,
) -> anyhow::Result<()> {
    let done = format!("pruned{}", dry_run.suffix());
    for object in candidates(client, resources, applied).await? {
        going.prune(client, &object, dry_run).await?;
        voice.say(&object.resource, &object.value, &done)?;
    }
    Ok(())
}

/// In the namespaces of what was applied; and objects without one.
async fn candidates(
    client: &Client,
    resources: &[Rc<Resource>],
    applied: &Applied<'_>,
) -> anyhow::Result<Vec<Object>> {
    let namespaces = applied
        .objects
        .iter()
        .filter_map(|object| object.value["metadata"]["namespace"].as_str());
    let mut namespaces: Vec<&str> = namespaces.collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let (inside, outside): (Vec<_>, Vec<_>) = resources.iter().partition(|one| one.namespaced);
    let inside = inside.iter().flat_map(|resource| {
        namespaces
            .iter()
            .map(|namespace| (*resource, Some(*namespace)))
    });
    let outside = outside.iter().map(|resource| (*resource, None));
    let mut found = Vec::new();
    for (resource, namespace) in inside.chain(outside) {
        let selector = SelectorArg {
            selector: applied.selector.cloned(),
            field_selector: None,
        };
        let url = selector.apply(&resource.collection(namespace));
        let list = Source::List {
            resource: Rc::clone(resource),
            url,
        };
        found.extend(list.fetch(client).await?);
    }
    found.retain(|object| goes(object, applied));
    Ok(found)
}

/// It was applied, but not now.
fn goes(object: &Object, applied: &Applied<'_>) -> bool {
    let uid = |object: &Object| object.value["metadata"]["uid"].clone();
    let is_named = applied
        .objects
        .iter()
        .any(|other| uid(other) == uid(object));
    let metadata = &object.value["metadata"];
    !is_named
        && (metadata["annotations"].get(LAST_APPLIED).is_some()
            || is_owned(metadata, applied.field_manager))
}

fn is_owned(metadata: &Value, field_manager: &str) -> bool {
    let owners = metadata["managedFields"].as_array();
    let mut owners = owners.into_iter().flatten();
    owners.any(|owner| owner["manager"] == field_manager && owner["operation"] == "Apply")
}
