//! Pods that somebody names by what keeps them: `deployment/web`, `service/web`.

use anyhow::Context;
use futures::StreamExt;
use kube::Client;
use serde_json::Value;

use super::duration::Patience;
use super::follow::within;
use super::resource::{Catalog, Object, check_name, escape};
use super::select::taken_apart;
use super::{http, watch};

/// Pods, and what they were found by if that is no pod.
pub struct Target {
    /// The first is the one to speak to.
    pub pods: Vec<Value>,
    pub found_by: Option<Object>,
}

impl Target {
    pub fn pod(&self) -> &Value {
        &self.pods[0]
    }
}

/// `word` is a pod's name, or KIND/NAME. Of several pods, the one that has been ready for longest is the
/// first. Where there is none yet, one is waited for.
///
/// # Errors
/// There is no such object, or it has no pods in time.
pub async fn find(
    client: &Client,
    namespace: &str,
    word: &str,
    patience: Patience,
) -> anyhow::Result<Target> {
    let (kind, name) = match word.split_once('/') {
        Some((kind, name)) => (kind, name),
        None => ("pod", word),
    };
    check_name(name)?;
    if matches!(kind, "pod" | "pods" | "po") {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}",
            escape(namespace),
            escape(name)
        );
        return Ok(Target {
            pods: vec![http::get(client, &path).await?],
            found_by: None,
        });
    }
    let catalog = Catalog::discover(client).await?;
    let resource = catalog.named(kind)?;
    let value = http::get(client, &resource.named(namespace, name)).await?;
    let keeper = Object { resource, value };
    let pods = within(patience, pods(client, &catalog, namespace, &keeper)).await?;
    Ok(Target {
        pods,
        found_by: Some(keeper),
    })
}

/// Its pods, at least one: those that run first, of these those that are ready, for longest (`ByLogging` of kubectl's
/// `util/podutils`).
async fn pods(
    client: &Client,
    catalog: &Catalog,
    namespace: &str,
    keeper: &Object,
) -> anyhow::Result<Vec<Value>> {
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
    loop {
        let list = http::get(client, &url).await?;
        let version = list["metadata"]["resourceVersion"].clone();
        let pods = taken_apart(&resource, list);
        let mut pods: Vec<Value> = pods.into_iter().map(|pod| pod.value).collect();
        if !pods.is_empty() {
            pods.sort_by_cached_key(|pod| {
                let since = ready_since(pod).map(str::to_owned);
                (pod["status"]["phase"] != "Running", since.is_none(), since)
            });
            return Ok(pods);
        }
        let version = version.as_str().unwrap_or_default();
        let events = watch::events(client, &url, version, http::JSON).await?;
        // Whatever happens, it is time to look again.
        let _ = std::pin::pin!(events).next().await;
    }
}

/// `None`: it is not ready.
fn ready_since(pod: &Value) -> Option<&str> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let mut ready = conditions
        .iter()
        .filter(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready.next()?["lastTransitionTime"].as_str()
}
