//! `podnet rollout`: status, restart, history, undo, of deployments and daemon sets.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use futures::StreamExt;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::timeout_at;

use super::duration::{Patience, parse_patience};
use super::failure::Failures;
use super::print::tabs::Tabs;
use super::resource::{Catalog, Object, escape};
use super::select::{ChoiceArg, taken_apart};
use super::{ClusterArg, http, watch};

const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const HASH: &str = "pod-template-hash";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Wait until all pods are as the newest template says
    Status {
        #[command(flatten)]
        what: What,
        /// Wait for the end of it
        #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
            default_missing_value = "true", require_equals = true)]
        watch: bool,
        /// How long to wait: 30s, 5m; 0 is for ever
        #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_patience)]
        timeout: Patience,
    },
    /// Make all pods anew
    Restart {
        #[command(flatten)]
        what: What,
    },
    /// List the templates that there have been
    History {
        #[command(flatten)]
        what: What,
    },
    /// Go back to an earlier template
    Undo {
        #[command(flatten)]
        what: What,
        /// Which, as `history` lists them; 0 is the one before
        #[arg(long, default_value_t = 0)]
        to_revision: i64,
    },
}

#[derive(Debug, clap::Args)]
struct What {
    #[command(flatten)]
    cluster: ClusterArg,
    /// Resource and names, or RESOURCE/NAME
    #[arg(required_unless_present = "filename", value_name = "RESOURCE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    choice: ChoiceArg,
}

impl Args {
    fn what(&self) -> &What {
        match &self.verb {
            Verb::Status { what, .. }
            | Verb::Restart { what }
            | Verb::History { what }
            | Verb::Undo { what, .. } => what,
        }
    }

    pub(super) fn cluster(&self) -> &ClusterArg {
        &self.what().cluster
    }
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let what = args.what();
    let catalog = Catalog::discover(client).await?;
    // Several can be told of, and made anew.
    let all = matches!(
        args.verb,
        Verb::Restart { .. } | Verb::Status { .. } | Verb::History { .. }
    );
    let choice = what.choice.of(&what.words, all);
    let mut failures = Failures::default();
    for object in choice.objects(client, &catalog, &mut failures).await? {
        let done = match &args.verb {
            Verb::Status { watch, timeout, .. } => status(client, &object, *watch, *timeout).await,
            Verb::Restart { .. } => restart(client, &object).await,
            Verb::History { .. } => history(client, &catalog, &object).await,
            Verb::Undo { to_revision, .. } => undo(client, &catalog, &object, *to_revision).await,
        };
        failures.keep(done);
    }
    failures.into_result()?;
    Ok(ExitCode::SUCCESS)
}

async fn status(
    client: &Client,
    object: &Object,
    watch: bool,
    timeout: Patience,
) -> anyhow::Result<()> {
    if !watch {
        print!("{}", progress(object)?.0);
        return Ok(());
    }
    let followed = follow(client, object);
    match timeout.deadline_or_never() {
        None => followed.await,
        Some(deadline) => timeout_at(deadline, followed)
            .await
            .map_err(|_| anyhow!("timed out waiting for the condition"))?,
    }
}

/// Tells each state once, until the last.
async fn follow(client: &Client, object: &Object) -> anyhow::Result<()> {
    let namespace = object.value["metadata"]["namespace"].as_str();
    let collection = object.resource.collection(namespace);
    let url = format!(
        "{collection}?fieldSelector=metadata.name%3D{}",
        escape(object.name())
    );
    let mut told = String::new();
    loop {
        let list = http::get(client, &url).await?;
        let version = list["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let Some(now) = taken_apart(&object.resource, list).pop() else {
            bail!("object has been deleted");
        };
        if tell(&now, &mut told)? {
            return Ok(());
        }
        let events = watch::events(client, &url, &version, http::JSON).await?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            // A watch that has ended is begun again.
            let Ok(event) = event else {
                break;
            };
            if event.kind == "DELETED" {
                bail!("object has been deleted");
            }
            let now = Object {
                resource: object.resource.clone(),
                value: event.object,
            };
            if tell(&now, &mut told)? {
                return Ok(());
            }
        }
    }
}

/// Whether it was the last.
fn tell(object: &Object, told: &mut String) -> anyhow::Result<bool> {
    let (line, is_done) = progress(object)?;
    if line != *told {
        print!("{line}");
        *told = line;
    }
    Ok(is_done)
}

/// A line on how far it is, and whether that is the end.
fn progress(object: &Object) -> anyhow::Result<(String, bool)> {
    let name = object.name();
    let value = &object.value;
    let number = |field: &str| value["status"][field].as_i64().unwrap_or(0);
    let unseen =
        value["metadata"]["generation"].as_i64().unwrap_or(0) > number("observedGeneration");
    let waiting = |what: String| (what + "...\n", false);
    Ok(match object.resource.kind.as_str() {
        "Deployment" if unseen => {
            waiting("Waiting for deployment spec update to be observed".to_owned())
        }
        "Deployment" => {
            if has_timed_out(value) {
                bail!("deployment {name:?} exceeded its progress deadline");
            }
            let wanted = value["spec"]["replicas"].as_i64().unwrap_or(1);
            let (all, updated, available) = (
                number("replicas"),
                number("updatedReplicas"),
                number("availableReplicas"),
            );
            let text = format!("Waiting for deployment {name:?} rollout to finish:");
            if updated < wanted {
                waiting(format!(
                    "{text} {updated} out of {wanted} new replicas have been updated"
                ))
            } else if all > updated {
                waiting(format!(
                    "{text} {} old replicas are pending termination",
                    all - updated
                ))
            } else if available < updated {
                waiting(format!(
                    "{text} {available} of {updated} updated replicas are available"
                ))
            } else {
                (
                    format!("deployment {name:?} successfully rolled out\n"),
                    true,
                )
            }
        }
        "DaemonSet" if value["spec"]["updateStrategy"]["type"] != "RollingUpdate" => {
            bail!("rollout status is only available for RollingUpdate strategy type")
        }
        "DaemonSet" if unseen => {
            waiting("Waiting for daemon set spec update to be observed".to_owned())
        }
        "DaemonSet" => {
            let wanted = number("desiredNumberScheduled");
            let (updated, available) =
                (number("updatedNumberScheduled"), number("numberAvailable"));
            let text = format!("Waiting for daemon set {name:?} rollout to finish:");
            if updated < wanted {
                waiting(format!(
                    "{text} {updated} out of {wanted} new pods have been updated"
                ))
            } else if available < wanted {
                waiting(format!(
                    "{text} {available} of {wanted} updated pods are available"
                ))
            } else {
                (
                    format!("daemon set {name:?} successfully rolled out\n"),
                    true,
                )
            }
        }
        _ => bail!(
            "no status viewer has been implemented for {}",
            object.resource.kind
        ),
    })
}

fn has_timed_out(deployment: &Value) -> bool {
    let conditions = deployment["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == "Progressing" && condition["reason"] == "ProgressDeadlineExceeded"
    })
}

async fn restart(client: &Client, object: &Object) -> anyhow::Result<()> {
    if !object.value["spec"]["template"].is_object() {
        bail!("{} restarting is not supported", object.resource.plural);
    }
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    let url = format!("{}?fieldManager=kubectl-rollout", object.path());
    http::patch(client, &url, http::MERGE_PATCH, &patch).await?;
    println!("{} restarted", object.slashed());
    Ok(())
}

/// What an object's template was, by revision: replica sets of a deployment, controller revisions
/// of a daemon set.
async fn revisions(
    client: &Client,
    catalog: &Catalog,
    object: &Object,
) -> anyhow::Result<BTreeMap<i64, Value>> {
    let keeper = match object.resource.kind.as_str() {
        "Deployment" => "replicasets.apps",
        "DaemonSet" => "controllerrevisions.apps",
        kind => bail!("no history viewer has been implemented for {kind:?}"),
    };
    let keeper = catalog.named(keeper)?;
    let metadata = &object.value["metadata"];
    let list = http::get(client, &keeper.collection(metadata["namespace"].as_str())).await?;
    let mut revisions = BTreeMap::new();
    for kept in taken_apart(&keeper, list) {
        let owners = kept.value["metadata"]["ownerReferences"].as_array();
        let mut owners = owners.into_iter().flatten();
        let annotated = kept.value["metadata"]["annotations"][REVISION].as_str();
        let number = annotated.and_then(|text| text.parse().ok());
        let number = kept.value["revision"].as_i64().or(number);
        if let (true, Some(number)) = (owners.any(|o| o["uid"] == metadata["uid"]), number) {
            revisions.insert(number, kept.value);
        }
    }
    Ok(revisions)
}

async fn history(client: &Client, catalog: &Catalog, object: &Object) -> anyhow::Result<()> {
    let revisions = revisions(client, catalog, object).await?;
    println!("{} ", object.slashed());
    let mut tabs = Tabs::description();
    tabs.line(&["REVISION", "CHANGE-CAUSE"]);
    for (number, kept) in revisions {
        let cause = kept["metadata"]["annotations"][CHANGE_CAUSE].as_str();
        let cause = cause.filter(|cause| !cause.is_empty()).unwrap_or("<none>");
        tabs.line(&[number.to_string().as_str(), cause]);
    }
    println!("{}", tabs.flush());
    Ok(())
}

async fn undo(client: &Client, catalog: &Catalog, object: &Object, to: i64) -> anyhow::Result<()> {
    let mut revisions = revisions(client, catalog, object).await?;
    let (number, kept) = match to {
        0 => {
            revisions.pop_last();
            revisions.pop_last().with_context(|| {
                format!(
                    "no rollout history found for {} {:?}",
                    object.resource.singular,
                    object.name()
                )
            })?
        }
        to => revisions
            .remove_entry(&to)
            .with_context(|| format!("unable to find specified revision {to} in history"))?,
    };
    let (kind, patch) = match object.resource.kind.as_str() {
        "Deployment" => {
            let mut template = kept["spec"]["template"].clone();
            if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
                labels.shift_remove(HASH);
            }
            let change = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
            (http::JSON_PATCH, change)
        }
        // What a daemon set keeps is a patch already.
        _ => (STRATEGIC_PATCH, kept["data"].clone()),
    };
    let url = format!("{}?fieldManager=kubectl-rollout", object.path());
    let would_be = http::patch(client, &format!("{url}&dryRun=All"), kind, &patch).await?;
    if would_be["spec"]["template"] == object.value["spec"]["template"] {
        println!(
            "{} skipped rollback (current template already matches revision {number})",
            object.slashed()
        );
        return Ok(());
    }
    http::patch(client, &url, kind, &patch).await?;
    println!("{} rolled back", object.slashed());
    Ok(())
}
