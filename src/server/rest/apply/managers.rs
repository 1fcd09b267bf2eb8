//! Who set which fields: `metadata.managedFields`.
//!
//! Every writer is named in it with the fields that it was the last to set, or that it applies and
//! others set to the same. Writes of the server's own controllers are not attributed to anybody.

use hyper::{Request, header};
use serde_json::{Value, json};

use super::compare::Difference;
use super::fields::{Fields, Shape};
use crate::server::object;
use crate::server::resource::{Resource, Subresource};
use crate::server::rest::Scope;
use crate::server::schema::Type;

/// Writers other than appliers that are kept apart; the oldest become one. As kube-apiserver.
const MOST_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// Longer names are cut.
const NAME_BYTES: usize = 128;

/// Who writes, and by which verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    pub name: String,
    pub operation: Operation,
    pub api_version: String,
    /// Empty for the object itself.
    pub subresource: String,
}

impl Manager {
    /// A writer that does not apply.
    pub fn updater(name: String, resource: &Resource, subresource: Option<Subresource>) -> Manager {
        Manager {
            name,
            operation: Operation::Update,
            api_version: resource.api_version(),
            subresource: subresource.map_or("", Subresource::name).to_owned(),
        }
    }

    /// The program that sends a request, by the name it gives or by that of its user agent.
    pub fn of<B>(scope: &Scope, request: &Request<B>) -> Manager {
        let agent = request.headers().get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        let program = agent.and_then(|agent| agent.split('/').next());
        let given = scope.options.field_manager.as_deref();
        let name = given
            .or(program)
            .filter(|name| !name.is_empty())
            .unwrap_or("unknown");
        let end = name.floor_char_boundary(NAME_BYTES);
        Manager::updater(name[..end].to_owned(), scope.resource, scope.subresource)
    }

    pub fn applier(self) -> Manager {
        Manager {
            operation: Operation::Apply,
            ..self
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub manager: Manager,
    pub time: String,
    pub fields: Fields,
}

impl Entry {
    fn decode(json: &Value) -> Option<Entry> {
        let text = |pointer| object::text(json, pointer).to_owned();
        let fields = Fields::decode(json.get("fieldsV1")?);
        let entry = Entry {
            manager: Manager {
                name: text("/manager"),
                operation: match object::text(json, "/operation") {
                    "Apply" => Operation::Apply,
                    _ => Operation::Update,
                },
                api_version: text("/apiVersion"),
                subresource: text("/subresource"),
            },
            time: text("/time"),
            fields,
        };
        (!entry.fields.is_empty()).then_some(entry)
    }

    fn encode(self) -> Value {
        let mut json = json!({
            "manager": self.manager.name,
            "operation": self.manager.operation.name(),
            "apiVersion": self.manager.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
        });
        // The macro would copy it.
        json["fieldsV1"] = self.fields.encode();
        if !self.manager.subresource.is_empty() {
            json["subresource"] = self.manager.subresource.as_str().into();
        }
        json
    }
}

/// The entries of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Managers(pub Vec<Entry>);

impl Managers {
    /// What is no entry is none: a list of an empty one is how clients forget them all.
    pub fn of(object: &Value) -> Managers {
        let entries = object::list(object, "/metadata/managedFields");
        Managers(entries.iter().filter_map(Entry::decode).collect())
    }

    pub fn store(self, object: &mut Value) {
        let metadata = object::metadata(object);
        match self.0.is_empty() {
            true => {
                metadata.shift_remove("managedFields");
            }
            false => {
                let entries = self.0.into_iter().map(Entry::encode).collect();
                metadata.insert("managedFields".into(), Value::Array(entries));
            }
        }
    }

    pub fn others<'a>(&'a self, manager: &'a Manager) -> impl Iterator<Item = &'a Entry> {
        self.0.iter().filter(move |entry| entry.manager != *manager)
    }

    pub fn fields_of(&self, manager: &Manager) -> Fields {
        let entry = self.0.iter().find(|entry| entry.manager == *manager);
        entry.map(|entry| entry.fields.clone()).unwrap_or_default()
    }

    /// Takes fields from everybody but one.
    pub fn take_from_others(&mut self, fields: &Fields, manager: &Manager) {
        for entry in &mut self.0 {
            if entry.manager != *manager {
                entry.fields.subtract(fields);
            }
        }
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    pub fn set(&mut self, manager: &Manager, fields: Fields, now: &str) {
        let place = self.0.iter().position(|entry| entry.manager == *manager);
        match place {
            Some(place) if fields.is_empty() => {
                self.0.remove(place);
            }
            None if fields.is_empty() => {}
            Some(place) if self.0[place].fields == fields => {}
            Some(place) => {
                self.0[place].fields = fields;
                self.0[place].time = now.to_owned();
            }
            None => self.0.push(Entry {
                manager: manager.clone(),
                time: now.to_owned(),
                fields,
            }),
        }
    }

    /// Makes one of the oldest updaters while there are too many.
    fn bound(&mut self) {
        let is_updater = |entry: &Entry| entry.manager.operation == Operation::Update;
        while self.0.iter().filter(|entry| is_updater(entry)).count() > MOST_UPDATERS {
            let mut oldest: Vec<usize> = (0..self.0.len())
                .filter(|place| is_updater(&self.0[*place]))
                .collect();
            oldest.sort_by_key(|place| self.0[*place].time.clone());
            let second = self.0[oldest[1]].fields.clone();
            let first = &mut self.0[oldest[0]];
            first.fields.add(&second);
            first.manager.name = ANCIENT.to_owned();
            first.manager.subresource = String::new();
            self.0.remove(oldest[1]);
        }
    }
}

/// The fields of an object that count: not those that name it, nor those the server decides alone.
pub fn counted(mut fields: Fields) -> Fields {
    for path in [
        &["apiVersion"][..],
        &["kind"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "uid"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
        &["metadata", "selfLink"],
    ] {
        fields.cut(path);
    }
    // An empty map of metadata is nobody's.
    if fields
        .below
        .get("f:metadata")
        .is_some_and(|fields| fields.below.is_empty())
    {
        fields.below.remove("f:metadata");
    }
    fields
}

/// Notes who made a new object, all of it but the status that it was given.
pub fn track_new(resource: &Resource, object: &mut Value, by: &Manager, now: &str) {
    let mut fields = counted(Fields::of(object, Shape::object(Type::of(resource))));
    if resource.has(Subresource::Status) {
        fields.cut(&["status"]);
    }
    let mut managers = Managers::default();
    managers.set(by, fields, now);
    managers.store(object);
}

/// Notes in `new` who made it of `old`.
pub fn track(resource: &Resource, old: &Value, new: &mut Value, by: &Manager, now: &str) {
    let shape = Shape::object(Type::of(resource));
    let difference = Difference::between(old, new, shape);
    let (changed, removed) = (counted(difference.changed), counted(difference.removed));
    // Who sends the list along means it.
    let mut managers = match new.pointer("/metadata/managedFields") {
        Some(_) => Managers::of(new),
        None => Managers::of(old),
    };
    let mut own = managers.fields_of(by);
    own.add(&changed);
    own.subtract(&removed);
    managers.take_from_others(&changed, by);
    managers.take_from_others(&removed, by);
    managers.set(by, own, now);
    managers.bound();
    managers.store(new);
}
