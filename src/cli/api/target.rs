//! Pods that somebody names by what keeps them: `deployment/web`, `service/web`.

use anyhow::{Context, bail};
use kube::Client;
use serde_json::Value;

use super::http;
use super::resource::{Catalog, Object, check_name, escape};
use super::select::taken_apart;

/// A pod, and what it was found by if that is no pod.
pub struct Target {
    pub pod: String,
    /// How many it is one of.
    pub of: usize,
    pub found_by: Option<Object>,
}

/// `word` is a pod's name, or KIND/NAME. Of several pods, the one that has been ready for longest.
///
/// # Errors
/// There is no such object, or it has no pods.
pub async fn find(client: &Client, namespace: &str, word: &str) -> anyhow::Result<Target> {
    let (kind, name) = match word.split_once('/') {
        Some((kind, name)) => (kind, name),
        None => ("pod", word),
    };
    check_name(name)?;
    if matches!(kind, "pod" | "pods" | "po") {
        return Ok(Target {
            pod: name.to_owned(),
            of: 1,
            found_by: None,
        });
    }
    let catalog = Catalog::discover(client).await?;
    let resource = catalog.named(kind)?;
    let value = http::get(client, &resource.named(namespace, name)).await?;
    let keeper = Object { resource, value };
    let pods = pods(client, &catalog, namespace, &keeper).await?;
    let Some(first) = pods.first() else {
        bail!("no pods found for {}", keeper.slashed());
    };
    Ok(Target {
        pod: first.name().to_owned(),
        of: pods.len(),
        found_by: Some(keeper),
    })
}

/// Its pods: those that run first, of these those that are ready, for longest (`ByLogging` of kubectl's
/// `util/podutils`).
async fn pods(
    client: &Client,
    catalog: &Catalog,
    namespace: &str,
    keeper: &Object,
) -> anyhow::Result<Vec<Object>> {
    let selector = &keeper.value["spec"]["selector"];
    // A service has labels where the others have a selector.
    let labels = selector.get("matchLabels").unwrap_or(selector).as_object();
    let labels = labels.filter(|labels| !labels.is_empty());
    let labels =
        labels.with_context(|| format!("{} selects no pods by labels", keeper.slashed()))?;
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let resource = catalog.named("pods")?;
    let collection = resource.collection(Some(namespace));
    let url = format!("{collection}?labelSelector={}", escape(&pairs.join(",")));
    let mut pods = taken_apart(&resource, http::get(client, &url).await?);
    pods.sort_by_cached_key(|pod| {
        let since = ready_since(&pod.value).map(str::to_owned);
        (
            pod.value["status"]["phase"] != "Running",
            since.is_none(),
            since,
        )
    });
    Ok(pods)
}

/// `None`: it is not ready.
fn ready_since(pod: &Value) -> Option<&str> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let mut ready = conditions
        .iter()
        .filter(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready.next()?["lastTransitionTime"].as_str()
}
