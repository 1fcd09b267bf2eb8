//! Events: what happened to pods, for whoever asks `kubectl describe`.
//!
//! They are a courtesy: written one after the other, beside the work they are
//! about, and dropped when there are too many. The same thing again counts up
//! on the event that is there. A pod that fails in a loop gets [`BURST`] of them and
//! then one in [`REFILL`], as client-go's spam filter has it
//! (`tools/record/events_cache.go`), so it is no storm.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;

use super::ApiError;
use super::client::{is_conflict, is_not_found, timely};
use super::nodes::seconds;
use super::reach::Reach;
use crate::model::NodeName;

/// How many may wait to be written; what comes then is dropped.
const QUEUE: usize = 256;
/// How many different ones are remembered for counting up.
const REMEMBERED: usize = 512;
/// What a container answered to a probe may be in it; the rest is cut off.
const LONGEST_MESSAGE_BYTES: usize = 11 << 10;
const BURST: f64 = 25.0;
const REFILL: SignedDuration = SignedDuration::from_secs(300);

/// What it is about: a pod, or one of its containers.
#[derive(Clone, Debug)]
pub struct About {
    pub pod: Arc<Pod>,
    /// `spec.containers{name}`.
    pub field: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub warning: bool,
    /// CamelCase.
    pub reason: &'static str,
    pub message: String,
}

/// Takes what is to be recorded, and never waits.
#[derive(Clone)]
pub struct Recorder(mpsc::Sender<(About, Note, Timestamp)>);

impl Recorder {
    pub fn record(&self, about: About, mut note: Note) {
        let cut = note.message.floor_char_boundary(LONGEST_MESSAGE_BYTES);
        note.message.truncate(cut);
        if self.0.try_send((about, note, Timestamp::now())).is_err() {
            tracing::debug!("an event was dropped: too many wait to be written");
        }
    }
}

/// A recorder for what happens on `node`, and what writes for it as long as it is polled.
pub fn recorder(
    client: Client,
    node: NodeName,
    reach: Reach,
) -> (Recorder, impl Future<Output = ()>) {
    let (sender, mut queue) = mpsc::channel(QUEUE);
    let write = async move {
        let mut memory = Memory::default();
        while let Some((about, note, at)) = queue.recv().await {
            if let Err(error) = write(&client, &node, &mut memory, &about, &note, at).await {
                reach.failed(&error);
            }
        }
    };
    (Recorder(sender), write)
}

async fn write(
    client: &Client,
    node: &NodeName,
    memory: &mut Memory,
    about: &About,
    note: &Note,
    at: Timestamp,
) -> Result<(), ApiError> {
    let reference = reference(about);
    let Some(namespace) = reference.namespace.clone() else {
        return Ok(());
    };
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let known = match memory.note(&reference, note, at) {
        Seen::TooOften => return Ok(()),
        Seen::New(known) => known,
        Seen::Again(known) => {
            let patch = json!({"count": known.count, "lastTimestamp": seconds(at)});
            let params = PatchParams::default();
            match timely(events.patch(&known.name, &params, &Patch::Merge(patch))).await {
                // It has expired: then it is written anew.
                Err(error) if is_not_found(&error) => known,
                answer => return answer.map(drop).map_err(failure(&known)),
            }
        }
    };
    let event = event(node, reference, note, &known);
    match timely(events.create(&PostParams::default(), &event)).await {
        Err(error) if !is_conflict(&error) && !is_not_found(&error) && !is_forbidden(&error) => {
            Err(failure(&known)(error))
        }
        _ => Ok(()),
    }
}

/// A namespace that is going away takes no more events.
fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

fn failure(known: &Known) -> impl FnOnce(kube::Error) -> ApiError {
    ApiError::request(format!("write event {}", known.name))
}

fn reference(about: &About) -> ObjectReference {
    let meta = &about.pod.metadata;
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: about.field.clone(),
    }
}

fn event(node: &NodeName, about: ObjectReference, note: &Note, known: &Known) -> Event {
    let kind = if note.warning { "Warning" } else { "Normal" };
    Event {
        metadata: ObjectMeta {
            name: Some(known.name.clone()),
            namespace: about.namespace.clone(),
            ..ObjectMeta::default()
        },
        involved_object: about,
        type_: Some(kind.to_owned()),
        reason: Some(note.reason.to_owned()),
        message: Some(note.message.clone()),
        source: Some(EventSource {
            component: Some("kubelet".to_owned()),
            host: Some(node.to_string()),
        }),
        reporting_component: Some("kubelet".to_owned()),
        reporting_instance: Some(node.to_string()),
        first_timestamp: Some(Time(known.first)),
        last_timestamp: Some(Time(known.last)),
        count: Some(known.count),
        ..Event::default()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    name: String,
    first: Timestamp,
    last: Timestamp,
    count: i32,
}

/// What makes two events the same one.
type Key = (String, String, &'static str, String);

/// What was written, and how much of it.
#[derive(Default)]
struct Memory {
    known: BTreeMap<Key, Known>,
    /// By the pod's uid: what it may still write, and as of when.
    budgets: BTreeMap<String, (f64, Timestamp)>,
    /// The moment in the latest name, in nanoseconds since 1970: no other has the same.
    latest: i128,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    New(Known),
    Again(Known),
    TooOften,
}

impl Memory {
    fn note(&mut self, about: &ObjectReference, note: &Note, at: Timestamp) -> Seen {
        let uid = about.uid.clone().unwrap_or_default();
        if !self.may_write(&uid, at) {
            return Seen::TooOften;
        }
        let field = about.field_path.clone().unwrap_or_default();
        let key = (uid, field, note.reason, note.message.clone());
        if let Some(known) = self.known.get_mut(&key) {
            known.count = known.count.saturating_add(1);
            known.last = at;
            return Seen::Again(known.clone());
        }
        let pod = about.name.as_deref().unwrap_or_default();
        // Names that sort as things happened, as client-go's do: who lists events sees them in order.
        self.latest = at.as_nanosecond().max(self.latest + 1);
        let known = Known {
            name: format!("{pod}.{:016x}", self.latest),
            first: at,
            last: at,
            count: 1,
        };
        if self.known.len() >= REMEMBERED {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.last);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(key, known.clone());
        Seen::New(known)
    }

    fn may_write(&mut self, uid: &str, at: Timestamp) -> bool {
        if self.budgets.len() >= REMEMBERED && !self.budgets.contains_key(uid) {
            self.budgets
                .retain(|_, (_, since)| at.duration_since(*since) < REFILL);
        }
        let (left, since) = self.budgets.entry(uid.to_owned()).or_insert((BURST, at));
        let gained = at.duration_since(*since).as_secs_f64() / REFILL.as_secs_f64();
        *left = (*left + gained.max(0.0)).min(BURST);
        *since = at;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(uid: &str) -> ObjectReference {
        ObjectReference {
            name: Some("web".to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        }
    }

    fn note(message: &str) -> Note {
        Note {
            warning: true,
            reason: "BackOff",
            message: message.to_owned(),
        }
    }

    #[test]
    fn the_same_again_counts_up_and_another_does_not() {
        let mut memory = Memory::default();
        let at = Timestamp::UNIX_EPOCH;
        let Seen::New(first) = memory.note(&about("a"), &note("x"), at) else {
            panic!("it is new");
        };
        let Seen::Again(second) = memory.note(&about("a"), &note("x"), at) else {
            panic!("it is not");
        };
        assert_eq!((first.count, second.count), (1, 2));
        assert_eq!(first.name, second.name);
        let Seen::New(other) = memory.note(&about("a"), &note("y"), at) else {
            panic!("another message is another event");
        };
        assert!(first.name < other.name, "in the order of what happened");
    }

    #[test]
    fn one_pods_storm_is_cut_off_and_does_not_silence_another() {
        let mut memory = Memory::default();
        let at = Timestamp::UNIX_EPOCH;
        let written = (0..1000)
            .filter(|_| memory.note(&about("a"), &note("x"), at) != Seen::TooOften)
            .count();
        assert_eq!(written, 25);
        assert_ne!(memory.note(&about("b"), &note("x"), at), Seen::TooOften);
        let later = at + REFILL;
        assert_ne!(memory.note(&about("a"), &note("x"), later), Seen::TooOften);
        assert_eq!(memory.note(&about("a"), &note("x"), later), Seen::TooOften);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut memory = Memory::default();
        for number in 0..5000 {
            memory.note(
                &about(&number.to_string()),
                &note("x"),
                Timestamp::UNIX_EPOCH,
            );
        }
        assert!(memory.known.len() <= REMEMBERED);
    }
}
