//! An object as the store holds it, and an event about one.

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::Value;

use crate::server::object;
use crate::server::pick::Fields;
use crate::server::resource::Resource;

/// One version of one object: the bytes that are sent, and what selectors look at.
pub struct StoredObject {
    pub resource: &'static Resource,
    pub key: Arc<str>,
    pub revision: u64,
    pub json: Bytes,
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
        let mut json = Vec::new();
        object::write(value, &mut json);
        StoredObject::with_json(resource, value, revision, json.into())
    }

    pub(super) fn with_json(
        resource: &'static Resource,
        value: &Value,
        revision: u64,
        json: Bytes,
    ) -> StoredObject {
        let key = resource.key(object::namespace(value), object::name(value));
        StoredObject {
            resource,
            key: key.into(),
            revision,
            json,
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
        serde_json::from_slice(&self.json).expect("the store wrote this JSON itself")
    }

    /// No more of the object than these fields.
    pub fn pick(&self, fields: &Fields) -> Value {
        fields
            .of(&self.json)
            .expect("the store wrote this JSON itself")
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
    /// The event on the wire, made once however many watch. The object's JSON is a part of it.
    line: Bytes,
}

impl Event {
    /// The event by which `value` becomes version `revision`.
    pub fn new(
        kind: EventKind,
        resource: &'static Resource,
        mut value: Value,
        revision: u64,
        previous: Option<Arc<StoredObject>>,
    ) -> Event {
        set_revision(&mut value, revision);
        let head = head(kind.name());
        let mut line = Vec::with_capacity(LINE_BYTES);
        line.extend_from_slice(head.as_bytes());
        object::write(&value, &mut line);
        line.extend_from_slice(TAIL);
        // A copy of the right size: what is cut off a larger piece stays in pieces.
        let line = Bytes::copy_from_slice(&line);
        let json = line.slice(head.len()..line.len() - TAIL.len());
        Event {
            kind,
            object: Arc::new(StoredObject::with_json(resource, &value, revision, json)),
            previous,
            line,
        }
    }

    /// The JSON that this write made outdated: that of the version before, and a deletion's own.
    pub fn outdated_bytes(&self) -> usize {
        let previous = self.previous.as_ref().map_or(0, |old| old.json.len());
        match self.kind {
            EventKind::Deleted => previous + self.object.json.len(),
            EventKind::Added | EventKind::Modified => previous,
        }
    }

    /// The event's line. The kind can differ from the event's own where the object enters or
    /// leaves a selector.
    pub fn line(&self, kind: EventKind) -> Bytes {
        if kind == self.kind {
            self.line.clone()
        } else {
            line(kind.name(), &self.object.json)
        }
    }
}

const TAIL: &[u8] = b"}\n";
/// Most are shorter.
const LINE_BYTES: usize = 8 << 10;

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
