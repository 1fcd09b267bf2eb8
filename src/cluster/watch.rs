//! Watches that cannot be wedged.
//!
//! kube-rs's watcher lists, watches, and starts over when the server has
//! forgotten where it was; what comes out of here is parsed, and an object that
//! cannot be parsed is logged and passed over.

use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::model::NodeName;

use super::ApiError;
use super::nodes::{NodeView, node_view};
use super::pods::{PodView, pod_view};
use super::reach::Reach;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One step of a watched set.
#[derive(Clone, Debug)]
pub enum Change<T> {
    /// A new listing begins; the set so far stands until `Listed`.
    Listing,
    /// Part of the listing.
    Found(T),
    /// The listing is complete: what was not found is gone.
    Listed,
    Set(T),
    /// By uid.
    Gone(String),
}

/// All nodes.
pub fn watch_nodes(client: &Client, reach: &Reach) -> impl Stream<Item = Change<NodeView>> + use<> {
    let nodes = Api::<Node>::all(client.clone());
    guarded(nodes, watcher::Config::default(), reach.clone(), node_view)
}

/// The pods bound to `node`.
pub fn watch_pods(
    client: &Client,
    node: &NodeName,
    reach: &Reach,
) -> impl Stream<Item = Change<PodView>> + use<> {
    let bound = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    guarded(
        Api::<Pod>::all(client.clone()),
        bound,
        reach.clone(),
        pod_view,
    )
}

fn guarded<K, T: Clone>(
    api: Api<K>,
    config: watcher::Config,
    reach: Reach,
    parse: impl Fn(&K) -> Result<T, String>,
) -> impl Stream<Item = Change<T>>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let parse = move |object: &K| match parse(object) {
        Ok(view) => Some(view),
        Err(reason) => {
            warn!("passed over an object: {reason}");
            None
        }
    };
    watch(api, config)
        .backoff(Doubling::default())
        .filter_map(move |event| {
            // A listing begins before there is an answer.
            if matches!(&event, Ok(event) if !matches!(event, Event::Init)) {
                reach.answered();
            }
            let change = match event {
                Ok(Event::Init) => Some(Change::Listing),
                Ok(Event::InitApply(object)) => parse(&object).map(Change::Found),
                Ok(Event::InitDone) => Some(Change::Listed),
                Ok(Event::Apply(object)) => parse(&object).map(Change::Set),
                Ok(Event::Delete(object)) => object.uid().map(Change::Gone),
                Err(error) => {
                    complain(&reach, error);
                    None
                }
            };
            std::future::ready(change)
        })
}

fn complain(reach: &Reach, error: watcher::Error) {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => {
            reach.failed(&ApiError::request("watch")(error));
        }
        error => warn!("watch: {error}"),
    }
}

/// 50 ms, doubling to 5 s: a server that was restarted is found again at once,
/// and one that stays away is not hammered.
#[derive(Default)]
struct Doubling {
    steps: u32,
}

impl Iterator for Doubling {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.steps.min(10));
        self.steps += 1;
        Some(pause.min(LONGEST_PAUSE))
    }
}

impl Backoff for Doubling {
    fn reset(&mut self) {
        self.steps = 0;
    }
}
