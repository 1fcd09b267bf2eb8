//! GET with `watch`: a stream of events, one JSON object per line.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::negotiate::Form;
use super::{Answer, Api, Scope, list_options, respond};
use crate::server::metrics::Watching;
use crate::server::object;
use crate::server::random;
use crate::server::resource::Resource;
use crate::server::selector::Selector;
use crate::server::status::ApiError;
use crate::server::store::{Event, EventKind, Feed, StoredObject, line};
use crate::server::table::{self, IncludeObject};

/// A watch without `timeoutSeconds` ends after this or up to twice this, as in Kubernetes.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// No watch is kept for longer, whatever it asks for.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How many lines about what there was are made before they are asked for.
const AT_ONCE: usize = 16;
/// Bookmarks come this often, or half as often.
const BOOKMARK: Duration = Duration::from_secs(40);

impl Api {
    pub(super) fn watch(&self, scope: &Scope, form: Form) -> Answer {
        let resource = scope.resource;
        let options = &scope.options;
        let selector = scope.selector()?;
        list_options::check(options)?;
        let view = EventView {
            resource,
            shown: match form {
                Form::Json => Shown::Whole,
                Form::Metadata => Shown::Metadata,
                Form::Table => Shown::Table(scope.include_object()?),
            },
        };
        let slot = self.watches.clone().try_acquire_owned();
        let slot = slot.map_err(|_| ApiError::TooManyRequests)?;
        let watching = self.metrics.watching(resource, scope.namespace.as_deref());
        let prefix = resource.prefix(scope.namespace.as_deref());
        let from = options.resource_version.filter(|version| *version > 0);
        let begins_with_all = options.send_initial_events.unwrap_or(from.is_none());
        let mut begin_end = None;
        let (begin, feed) = match from {
            // A version that is forgotten is told as an event, as kube-apiserver does: client-go and
            // kube-rs list again after that, and not after an error to the request itself.
            Some(from) if !begins_with_all => {
                (Vec::new(), self.store.follow(resource, prefix, from))
            }
            _ => {
                let (objects, revision) = self.store.list(&prefix);
                if let Some(asked) = from.filter(|from| *from > revision) {
                    return Err(ApiError::VersionTooLarge {
                        asked,
                        current: revision,
                    });
                }
                let begin: Vec<Arc<StoredObject>> = objects
                    .into_iter()
                    .filter(|object| begins_with_all && selector.matches(object))
                    .collect();
                if options.send_initial_events == Some(true) && options.bookmarks {
                    begin_end = Some(view.bookmark(revision, true));
                }
                (begin, self.store.follow(resource, prefix, revision))
            }
        };
        let timeout = match options.timeout_seconds {
            Some(seconds) if seconds > 0 => Duration::from_secs(seconds).min(LONGEST_TIMEOUT),
            _ => random::jittered(TIMEOUT),
        };
        let watch = Watch {
            begin: begin.into_iter(),
            begin_end,
            feed,
            selector,
            view,
            ends: Instant::now() + timeout,
            bookmark: options.bookmarks.then(next_bookmark),
            stopping: self.stopping.clone(),
            over: false,
            _counted: (slot, watching),
        };
        Ok(respond::stream(watch.into_stream()))
    }
}

fn next_bookmark() -> Instant {
    Instant::now() + random::jittered(BOOKMARK)
}

struct Watch {
    /// What there was at the beginning and is still to be told, line by line as the client takes it.
    begin: std::vec::IntoIter<Arc<StoredObject>>,
    /// What is told after that.
    begin_end: Option<Bytes>,
    feed: Feed,
    selector: Selector,
    view: EventView,
    ends: Instant,
    /// `None`: the client does not want bookmarks.
    bookmark: Option<Instant>,
    stopping: CancellationToken,
    over: bool,
    /// Lets go of its place when it ends, however it does.
    _counted: (OwnedSemaphorePermit, Watching),
}

impl Watch {
    fn into_stream(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut watch| async move {
            let lines = watch.next().await?;
            Some((stream::iter(lines), watch))
        })
        .flatten()
    }

    /// The next lines, or `None` at the end.
    async fn next(&mut self) -> Option<Vec<Bytes>> {
        if self.over {
            return None;
        }
        let begin: Vec<Bytes> = self
            .begin
            .by_ref()
            .take(AT_ONCE)
            .map(|object| self.view.object(EventKind::Added, &object))
            .collect();
        if !begin.is_empty() {
            return Some(begin);
        }
        if let Some(end) = self.begin_end.take() {
            return Some(vec![end]);
        }
        let bookmark = self.bookmark.unwrap_or(self.ends);
        tokio::select! {
            () = self.stopping.cancelled() => None,
            () = sleep_until(self.ends) => None,
            events = self.feed.next() => match events {
                Ok(events) => Some(events.iter().filter_map(|event| self.line(event)).collect()),
                Err(error) => {
                    self.over = true;
                    Some(vec![line("ERROR", error.status().to_string().as_bytes())])
                }
            },
            () = sleep_until(bookmark), if self.bookmark.is_some() => {
                self.bookmark = Some(next_bookmark());
                let at = self.feed.bookmark();
                Some(at.map(|at| self.view.bookmark(at, false)).into_iter().collect())
            }
        }
    }

    /// The event as this watch's selector sees it; an object that enters or leaves it comes into
    /// being or goes.
    fn line(&self, event: &Event) -> Option<Bytes> {
        let is = event.kind != EventKind::Deleted && self.selector.matches(&event.object);
        let previous = event
            .previous
            .as_ref()
            .filter(|previous| self.selector.matches(previous));
        match (previous, is) {
            (None, false) => None,
            (None, true) => Some(self.view.event(EventKind::Added, event)),
            (Some(_), true) => Some(self.view.event(EventKind::Modified, event)),
            (Some(_), false) if event.kind == EventKind::Deleted => {
                Some(self.view.event(EventKind::Deleted, event))
            }
            // As kube-apiserver: the last state that matched, at the revision at which it ceased to.
            (Some(previous), false) => {
                let last =
                    StoredObject::stamp(previous.resource, previous.value(), event.object.revision);
                Some(self.view.object(EventKind::Deleted, &last))
            }
        }
    }
}

/// How this watch's client wants objects shown.
struct EventView {
    resource: &'static Resource,
    shown: Shown,
}

enum Shown {
    Whole,
    Metadata,
    Table(IncludeObject),
}

impl EventView {
    fn event(&self, kind: EventKind, event: &Event) -> Bytes {
        match self.shown {
            Shown::Whole => event.line(kind),
            Shown::Metadata | Shown::Table(_) => self.object(kind, &event.object),
        }
    }

    fn object(&self, kind: EventKind, object: &StoredObject) -> Bytes {
        let shown = match self.shown {
            Shown::Whole => return object.line(kind),
            Shown::Metadata => object::only_metadata(object.value()),
            Shown::Table(include) => self.table(vec![object.value()], object.revision, include),
        };
        line(kind.name(), shown.to_string().as_bytes())
    }

    fn table(&self, objects: Vec<Value>, revision: u64, include: IncludeObject) -> Value {
        let revision = revision.to_string();
        table::render(self.resource, objects, &revision, include, Timestamp::now())
    }

    fn bookmark(&self, revision: u64, initial_events_end: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.shown {
            Shown::Whole => json!({
                "kind": self.resource.kind,
                "apiVersion": self.resource.api_version(),
                "metadata": metadata,
            }),
            Shown::Metadata => object::only_metadata(json!({"metadata": metadata})),
            Shown::Table(include) => self.table(Vec::new(), revision, include),
        };
        line("BOOKMARK", object.to_string().as_bytes())
    }
}
