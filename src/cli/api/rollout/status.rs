//! `podnet rollout status`: how far it is.

use anyhow::bail;
use kube::Client;
use serde_json::Value;

use super::history::REVISION;
use crate::cli::api::duration::Patience;
use crate::cli::api::follow::{follow, within};
use crate::cli::api::resource::Object;

/// Tells each state once, until the last; only the present one unless it is to `watch`.
pub async fn tell(
    client: &Client,
    object: &Object,
    watch: bool,
    timeout: Patience,
    revision: i64,
) -> anyhow::Result<()> {
    if !watch {
        print!("{}", progress(object, revision)?.0);
        return Ok(());
    }
    let mut told = String::new();
    let followed = follow(client, object, |now| {
        let (line, is_done) = progress(&now, revision)?;
        if line != told {
            print!("{line}");
            told = line;
        }
        Ok(is_done.then_some(()))
    });
    let done = match timeout.is_none() {
        true => followed.await,
        false => within(timeout, followed).await,
    };
    match done? {
        Some(()) => Ok(()),
        None => bail!("object has been deleted"),
    }
}

/// A line on how far it is, and whether that is the end. `revision` 0 is any.
fn progress(object: &Object, revision: i64) -> anyhow::Result<(String, bool)> {
    let name = object.name();
    let value = &object.value;
    let number = |field: &str| value["status"][field].as_i64().unwrap_or(0);
    let unseen =
        value["metadata"]["generation"].as_i64().unwrap_or(0) > number("observedGeneration");
    let waiting = |what: String| (what + "...\n", false);
    Ok(match object.resource.kind.as_str() {
        "Deployment" if revision > 0 && revision_of(value) != revision => bail!(
            "desired revision ({revision}) is different from the running revision ({})",
            revision_of(value)
        ),
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

fn revision_of(deployment: &Value) -> i64 {
    let annotated = deployment["metadata"]["annotations"][REVISION].as_str();
    annotated.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn has_timed_out(deployment: &Value) -> bool {
    let conditions = deployment["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == "Progressing" && condition["reason"] == "ProgressDeadlineExceeded"
    })
}
