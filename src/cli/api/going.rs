//! Objects that go for `podnet apply` and `replace`: to be made anew, or because no file names them any more.

use anyhow::bail;
use kube::Client;
use serde_json::{Value, json};

use super::delete::{Cascade, until_gone};
use super::duration::{Patience, parse_patience};
use super::resource::Object;
use super::{DryRunArg, http};

/// How objects go.
#[derive(Debug, clap::Args)]
pub struct GoingArg {
    /// What becomes of what deleted objects own
    #[arg(long, value_enum, default_value = "background", value_name = "HOW")]
    cascade: Cascade,
    /// Seconds that each deleted object gets to end by itself; -1 is what it asks for
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_hyphen_values = true)]
    grace_period: i64,
    /// How long to wait for deleted objects to be gone: 30s, 5m; 0 is for ever
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_patience)]
    timeout: Patience,
    /// Wait until pruned objects are gone
    #[arg(long)]
    wait: bool,
}

impl GoingArg {
    fn options(&self, dry_run: &DryRunArg) -> Value {
        let mut options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "propagationPolicy": self.cascade.policy(),
        });
        if self.grace_period >= 0 {
            options["gracePeriodSeconds"] = self.grace_period.into();
        }
        if dry_run.is_server() {
            options["dryRun"] = json!(["All"]);
        }
        options
    }

    /// One that is to go for good. It may be gone already.
    pub async fn prune(
        &self,
        client: &Client,
        object: &Object,
        dry_run: &DryRunArg,
    ) -> anyhow::Result<()> {
        if dry_run.is_client() {
            return Ok(());
        }
        match http::delete(client, &object.path(), &self.options(dry_run)).await {
            Err(error) if http::is_not_found(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(_) if self.wait && !dry_run.is_any() => self.gone(client, object).await,
            Ok(_) => Ok(()),
        }
    }

    /// Deletes an object and waits until it is gone.
    pub async fn delete(&self, client: &Client, object: &Object) -> anyhow::Result<()> {
        let options = self.options(&DryRunArg::default());
        http::delete(client, &object.path(), &options).await?;
        self.gone(client, object).await
    }

    /// # Errors
    /// Something was said about deleting, where nothing is deleted.
    pub fn check_unused(&self) -> anyhow::Result<()> {
        if self.grace_period >= 0 {
            bail!("--grace-period must have --force specified");
        }
        if !self.timeout.is_none() {
            bail!("--timeout must have --force specified");
        }
        Ok(())
    }

    /// Deletes an object, and applies `new` to `url` in its place; if that fails, the object is made again as it was.
    pub async fn replace(
        &self,
        client: &Client,
        old: &Object,
        url: &str,
        new: &Value,
    ) -> anyhow::Result<Value> {
        self.delete(client, old).await?;
        let made = http::patch(client, url, http::APPLY_PATCH, new).await;
        if made.is_err() {
            let namespace = old.value["metadata"]["namespace"].as_str();
            let collection = old.resource.collection(namespace);
            http::post(client, &collection, &as_written(&old.value)).await?;
        }
        made
    }

    async fn gone(&self, client: &Client, object: &Object) -> anyhow::Result<()> {
        let uid = object.value["metadata"]["uid"].as_str();
        until_gone(client, object, uid, self.timeout.deadline_or_never()).await
    }
}

/// Without what the server gave it.
fn as_written(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "managedFields",
        ] {
            metadata.shift_remove(key);
        }
    }
    object
}
