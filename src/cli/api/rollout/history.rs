//! `podnet rollout history` and `undo`: the templates that there have been, and the way back to one.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context, anyhow, bail};
use kube::Client;
use serde_json::{Value, json};

use super::{MANAGER, is_paused};
use crate::cli::api::describe::template_text;
use crate::cli::api::print::Voice;
use crate::cli::api::print::tabs::Tabs;
use crate::cli::api::resource::{Catalog, Object, Resource};
use crate::cli::api::select::taken_apart;
use crate::cli::api::{DryRunArg, http};
use crate::server;

const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
pub const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const HASH: &str = "pod-template-hash";

/// What an object's template was, by revision.
pub struct History {
    revisions: BTreeMap<i64, Revision>,
    /// Of what shows a revision.
    resource: Rc<Resource>,
}

struct Revision {
    cause: Option<String>,
    /// The replica set of a deployment; a daemon set as it was.
    shown: Value,
    /// What leads a daemon set back.
    patch: Value,
}

/// Whether there is any.
pub fn is_kept_of(object: &Object) -> bool {
    matches!(&*object.resource.kind, "Deployment" | "DaemonSet")
}

/// A deployment's is in its replica sets, a daemon set's in controller revisions.
pub async fn of(client: &Client, catalog: &Catalog, object: &Object) -> anyhow::Result<History> {
    if !is_kept_of(object) {
        let kind = &object.resource.kind;
        bail!("no history viewer has been implemented for {kind:?}");
    }
    let is_daemon_set = object.resource.kind == "DaemonSet";
    let keeper = catalog.named(match is_daemon_set {
        true => "controllerrevisions.apps",
        false => "replicasets.apps",
    })?;
    let metadata = &object.value["metadata"];
    let list = http::get(client, &keeper.collection(metadata["namespace"].as_str())).await?;
    let mut revisions = BTreeMap::new();
    for kept in taken_apart(&keeper, list) {
        let mut kept = kept.value;
        let owners = kept["metadata"]["ownerReferences"].as_array();
        let mut owners = owners.into_iter().flatten();
        let annotations = &kept["metadata"]["annotations"];
        let annotated = annotations[REVISION].as_str();
        let number = annotated.and_then(|text| text.parse().ok());
        let number = kept["revision"].as_i64().or(number);
        let (true, Some(number)) = (owners.any(|o| o["uid"] == metadata["uid"]), number) else {
            continue;
        };
        let cause = annotations[CHANGE_CAUSE].as_str().map(str::to_owned);
        let revision = match is_daemon_set {
            true => Revision {
                cause,
                shown: as_it_was(object, &kept["data"])?,
                patch: kept["data"].take(),
            },
            false => Revision {
                cause,
                shown: kept,
                patch: Value::Null,
            },
        };
        revisions.insert(number, revision);
    }
    let resource = match is_daemon_set {
        true => Rc::clone(&object.resource),
        false => keeper,
    };
    Ok(History {
        revisions,
        resource,
    })
}

/// An object to which a strategic merge patch leads back.
fn as_it_was(object: &Object, patch: &Value) -> anyhow::Result<Value> {
    let mut value = object.value.clone();
    let patch = patch.as_object().cloned().unwrap_or_default();
    let kind = &object.resource.kind;
    server::strategic_merge(&mut value, patch, kind).map_err(|why| anyhow!(why))?;
    // Written out by whoever knows that there is the field.
    if let Some(Value::Object(metadata)) = value.pointer_mut("/spec/template/metadata") {
        metadata.entry("creationTimestamp").or_insert(Value::Null);
    }
    Ok(value)
}

impl History {
    fn named(&self, revision: i64) -> anyhow::Result<&Revision> {
        let found = self.revisions.get(&revision);
        found.context("unable to find the specified revision")
    }

    /// All of them in a table, or the template of one; `revision` 0 is none.
    pub fn tell(&self, object: &Object, revision: i64) -> anyhow::Result<()> {
        if revision > 0 {
            let text = template_text(&self.named(revision)?.shown["spec"]["template"])?;
            println!("{} with revision #{revision}\n{text}", object.slashed());
            return Ok(());
        }
        println!("{} ", object.slashed());
        let mut tabs = Tabs::description();
        tabs.line(&["REVISION", "CHANGE-CAUSE"]);
        for (number, kept) in &self.revisions {
            let cause = kept.cause.as_deref().filter(|cause| !cause.is_empty());
            tabs.line(&[number.to_string().as_str(), cause.unwrap_or("<none>")]);
        }
        println!("{}", tabs.flush());
        Ok(())
    }

    /// The objects that show them, or one.
    pub fn say(&self, revision: i64, voice: &mut Voice<'_>) -> anyhow::Result<()> {
        if revision > 0 {
            return voice.say(&self.resource, &self.named(revision)?.shown, "");
        }
        let mut all = self.revisions.values();
        all.try_for_each(|kept| voice.say(&self.resource, &kept.shown, ""))
    }

    /// Leads `object` back; `to` 0 is the revision before. The object then, and what was done.
    pub async fn undo(
        &self,
        client: &Client,
        object: &Object,
        to: i64,
        dry_run: &DryRunArg,
    ) -> anyhow::Result<(Value, String)> {
        let before = || self.revisions.iter().rev().nth(1);
        let (number, kept) = match to {
            0 => before().with_context(|| {
                format!(
                    "no rollout history found for {} {:?}",
                    object.resource.singular,
                    object.name()
                )
            })?,
            to => self
                .revisions
                .get_key_value(&to)
                .with_context(|| format!("unable to find specified revision {to} in history"))?,
        };
        if is_paused(object) {
            bail!(
                "you cannot rollback a paused deployment; resume it first with 'podnet rollout \
                 resume' and try again"
            );
        }
        let is_daemon_set = object.resource.kind == "DaemonSet";
        let template = &kept.shown["spec"]["template"];
        if dry_run.is_client() {
            let text = template_text(template)?;
            let lead = if is_daemon_set {
                "will roll back to "
            } else {
                ""
            };
            let done = format!("{lead}{text}{}", dry_run.suffix());
            return Ok((object.value.clone(), done));
        }
        let (kind, patch) = match is_daemon_set {
            // What a daemon set keeps is a patch already.
            true => (STRATEGIC_PATCH, kept.patch.clone()),
            false => (http::JSON_PATCH, back_to(template)),
        };
        let url = format!("{}?fieldManager={MANAGER}", object.path());
        let would_be = http::patch(client, &format!("{url}&dryRun=All"), kind, &patch).await?;
        if would_be["spec"]["template"] == object.value["spec"]["template"] {
            let done =
                format!("skipped rollback (current template already matches revision {number})");
            return Ok((would_be, done));
        }
        let url = format!("{url}{}", dry_run.parameter());
        let done = http::patch(client, &url, kind, &patch).await?;
        Ok((done, format!("rolled back{}", dry_run.suffix())))
    }
}

/// What gives a deployment the template of one of its replica sets.
fn back_to(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(Value::Object(labels)) = template.pointer_mut("/metadata/labels") {
        labels.shift_remove(HASH);
    }
    json!([{"op": "replace", "path": "/spec/template", "value": template}])
}
