//! An object as the store holds it, and an event about one.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use hyper::body::Bytes;
use serde_json::Value;

use crate::server::object;
use crate::server::pick::Fields;
use crate::server::resource::Resource;

use super::json::Json;

/// One version of one object: the bytes that are sent, and what selectors look at.
pub struct StoredObject {
    pub resource: &'static Resource,
    pub key: Arc<str>,
    pub revision: u64,
    pub json: Json,
    pub uid: Box<str>,
    /// Whose end is this object's end.
    pub owners: Box<[Owner]>,
    /// It has a deletion timestamp.
    pub is_terminating: bool,
    labels: Box<[(Box<str>, Box<str>)]>,
    /// In the order of the resource's selectable fields.
    fields: Box<[Box<str>]>,
}

/// An owner reference, resolved to where its object is stored.
pub struct Owner {
    pub uid: Box<str>,
    /// It is the one that acts on the object (`metav1.GetControllerOf`).
    pub controller: bool,
    /// `None` for a kind that is not served: nothing is known of such an owner.
    pub key: Option<Box<str>>,
}

impl StoredObject {
    /// `value` as version `revision` of the object.
    pub fn stamp(resource: &'static Resource, mut value: Value, revision: u64) -> StoredObject {
        set_revision(&mut value, revision);
        StoredObject::new(resource, &value, revision)
    }

    /// The object as it is in `value`, stored or not.
    pub fn new(resource: &'static Resource, value: &Value, revision: u64) -> StoredObject {
        let mut text = Vec::with_capacity(USUAL_BYTES);
        object::write(value, &mut text);
        StoredObject::with_json(resource, value, revision, &text)
    }

    pub(super) fn with_json(
        resource: &'static Resource,
        value: &Value,
        revision: u64,
        json: &[u8],
    ) -> StoredObject {
        let key = resource.key(object::namespace(value), object::name(value));
        StoredObject {
            resource,
            key: key.into(),
            revision,
            json: Json::new(json),
            uid: object::uid(value).into(),
            owners: object::list(value, "/metadata/ownerReferences")
                .iter()
                .map(|reference| Owner::resolve(reference, object::namespace(value)))
                .collect(),
            is_terminating: object::is_terminating(value),
            labels: object::pairs(value, "/metadata/labels")
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            fields: resource
                .fields
                .iter()
                .map(|field| object::text(value, field.pointer).into())
                .collect(),
        }
    }

    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json.to_vec()).expect("the store wrote this JSON itself")
    }

    /// No more of the object than these fields.
    pub fn pick(&self, fields: &Fields) -> Value {
        fields
            .of(&self.json.to_vec())
            .expect("the store wrote this JSON itself")
    }

    /// An event about it, on the wire.
    pub fn line(&self, kind: EventKind) -> Bytes {
        let head = head(kind.name());
        let mut line = Vec::with_capacity(head.len() + self.json.len() + TAIL.len());
        line.extend_from_slice(head.as_bytes());
        self.json.write_to(&mut line);
        line.extend_from_slice(TAIL);
        line.into()
    }

    pub fn namespace(&self) -> &str {
        self.key.split('/').nth(1).unwrap_or("")
    }

    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or("")
    }

    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.controller)
    }

    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(key, value)| (&**key, &**value))
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(name, _)| &**name == key)
            .map(|(_, value)| &**value)
    }

    /// The value of a selectable field; empty where the object has none.
    pub fn field(&self, label: &str) -> &str {
        match label {
            "metadata.name" => self.name(),
            "metadata.namespace" => self.namespace(),
            label => self
                .resource
                .fields
                .iter()
                .position(|field| field.label == label)
                .map_or("", |index| &self.fields[index]),
        }
    }
}

impl Owner {
    /// An owner is cluster-scoped or in the namespace of what it owns.
    fn resolve(reference: &Value, namespace: &str) -> Owner {
        let (kind, api_version) = (
            object::text(reference, "/kind"),
            object::text(reference, "/apiVersion"),
        );
        let key = Resource::of_kind(kind, api_version).map(|resource| {
            let namespace = if resource.namespaced { namespace } else { "" };
            resource
                .key(namespace, object::text(reference, "/name"))
                .into()
        });
        Owner {
            uid: object::text(reference, "/uid").into(),
            controller: reference.get("controller") == Some(&Value::Bool(true)),
            key,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Added,
    Modified,
    Deleted,
}

impl EventKind {
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
        }
    }
}

/// One write, as watchers see it.
pub struct Event {
    pub kind: EventKind,
    /// The new version; for a deletion the last state, carrying the deletion's revision.
    pub object: Arc<StoredObject>,
    pub previous: Option<Arc<StoredObject>>,
    /// The event on the wire, once however many watch, for as long as one of them has it.
    line: Mutex<Weak<Line>>,
}

struct Line(Bytes);

/// A watcher's.
struct Shared(Arc<Line>);

impl Event {
    /// The event by which `value` becomes version `revision`.
    pub fn new(
        kind: EventKind,
        resource: &'static Resource,
        value: Value,
        revision: u64,
        previous: Option<Arc<StoredObject>>,
    ) -> Event {
        Event {
            kind,
            object: Arc::new(StoredObject::stamp(resource, value, revision)),
            previous,
            line: Mutex::default(),
        }
    }

    /// The JSON that this write made outdated, without what is shared: that of the version before, and
    /// a deletion's own.
    pub fn outdated_bytes(&self) -> usize {
        let previous = self.previous.as_ref().map_or(0, |old| old.json.own_len());
        match self.kind {
            EventKind::Deleted => previous + self.object.json.own_len(),
            EventKind::Added | EventKind::Modified => previous,
        }
    }

    /// The event's line. The kind can differ from the event's own where the object enters or
    /// leaves a selector.
    pub fn line(&self, kind: EventKind) -> Bytes {
        if kind != self.kind {
            return self.object.line(kind);
        }
        // No panic leaves it half changed.
        let mut known = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = known.upgrade().unwrap_or_else(|| {
            let line = Arc::new(Line(self.object.line(kind)));
            *known = Arc::downgrade(&line);
            line
        });
        Bytes::from_owner(Shared(line))
    }
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.0
    }
}

const TAIL: &[u8] = b"}\n";
/// Most objects are shorter.
const USUAL_BYTES: usize = 8 << 10;

fn head(kind: &str) -> String {
    format!(r#"{{"type":"{kind}","object":"#)
}

/// `{"type":"ADDED","object":…}` and a newline.
pub fn line(kind: &str, json: &[u8]) -> Bytes {
    [head(kind).as_bytes(), json, TAIL].concat().into()
}

fn set_revision(value: &mut Value, revision: u64) {
    object::metadata(value).insert("resourceVersion".into(), revision.to_string().into());
}
