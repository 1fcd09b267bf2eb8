//! One object, as it changes.

use futures::StreamExt;
use kube::Client;
use tokio::time::timeout_at;

use super::duration::Patience;
use super::resource::{Object, escape};
use super::select::taken_apart;
use super::{http, watch};

/// Shows each state of an object to `see`, until it makes something of one. `None`: the object is gone.
pub async fn follow<T>(
    client: &Client,
    object: &Object,
    mut see: impl FnMut(Object) -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let namespace = object.value["metadata"]["namespace"].as_str();
    let url = format!(
        "{}?fieldSelector=metadata.name%3D{}",
        object.resource.collection(namespace),
        escape(object.name())
    );
    loop {
        let list = http::get(client, &url).await?;
        let version = list["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let Some(now) = taken_apart(&object.resource, list).pop() else {
            return Ok(None);
        };
        if let Some(seen) = see(now)? {
            return Ok(Some(seen));
        }
        let events = watch::events(client, &url, &version, http::JSON).await?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            // A watch that has ended is begun again.
            let Ok(event) = event else {
                break;
            };
            if event.kind == "DELETED" {
                return Ok(None);
            }
            let now = Object {
                resource: object.resource.clone(),
                value: event.object,
            };
            if let Some(seen) = see(now)? {
                return Ok(Some(seen));
            }
        }
    }
}

/// What `done` gives, if it gives it in time.
pub async fn within<T>(
    patience: Patience,
    done: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    match timeout_at(patience.deadline(), done).await {
        Ok(done) => done,
        Err(_) => anyhow::bail!("timed out waiting for the condition"),
    }
}
