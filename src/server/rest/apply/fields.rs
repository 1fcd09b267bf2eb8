//! A set of fields of an object, as `managedFields` writes it (`FieldsV1`).
//!
//! The set is a tree whose branches are spelt as on the wire: `f:spec` for a field, `k:{…}` for the
//! list element with these keys, `v:…` for a value of a set. What an object's type calls atomic is one
//! field, whatever is in it. An object is in the set only through its fields, unless it has none; an
//! element of a list is in it besides its fields.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use crate::server::schema::{Field, Key, Merge, PLAIN, Type};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// This very field is in the set.
    pub member: bool,
    pub below: BTreeMap<String, Fields>,
}

/// How an object's value is made of parts.
pub enum Parts<'a> {
    /// Fields, each under its name and of its own type.
    Object(&'a Map<String, Value>),
    /// The elements of a list.
    Elements(Vec<Element<'a>>),
    /// None that count by themselves.
    Whole,
}

pub struct Element<'a> {
    /// What it is known by.
    pub id: String,
    pub value: &'a Value,
    /// Without parts where others of the list are known by the same: those count as one field.
    pub shape: Shape,
}

static ATOMIC: Type = Type {
    name: "",
    atomic: true,
    fields: &[],
};

/// What is known of the value at hand: of its type, and of the field that it stands in.
#[derive(Clone, Copy)]
pub struct Shape {
    pub of: &'static Type,
    field: Option<&'static Field>,
}

impl Shape {
    pub fn object(of: &'static Type) -> Shape {
        Shape { of, field: None }
    }

    pub fn field(self, name: &str) -> Shape {
        let field = self.of.field(name);
        Shape {
            of: field.map_or(&PLAIN, |field| field.of),
            field,
        }
    }

    /// Of an element, where this is a list's.
    pub fn element(self) -> Shape {
        Shape::object(self.of)
    }

    pub fn parts(self, value: &Value) -> Parts<'_> {
        match value {
            Value::Object(map) if !self.of.atomic && !map.is_empty() => Parts::Object(map),
            Value::Array(list) if !list.is_empty() => {
                self.elements(list).map_or(Parts::Whole, Parts::Elements)
            }
            _ => Parts::Whole,
        }
    }

    /// `None` for an atomic list, and for one whose elements cannot be told apart.
    fn elements(self, list: &[Value]) -> Option<Vec<Element<'_>>> {
        let ids: Vec<String> = list
            .iter()
            .map(|element| self.identity(element))
            .collect::<Option<_>>()?;
        let mut times: HashMap<String, usize> = HashMap::with_capacity(ids.len());
        for id in &ids {
            *times.entry(id.clone()).or_default() += 1;
        }
        let element = |(id, value): (String, _)| Element {
            shape: Shape::object(if times[&id] == 1 { self.of } else { &ATOMIC }),
            id,
            value,
        };
        Some(ids.into_iter().zip(list).map(element).collect())
    }

    /// The fields by which elements of this list are known.
    pub fn keys(self) -> &'static [Key] {
        match self.field.map(|field| &field.merge) {
            Some(Merge::Keyed(keyed)) => keyed.keys,
            _ => &[],
        }
    }

    /// What an element of this list is known by.
    pub fn identity(self, element: &Value) -> Option<String> {
        match &self.field?.merge {
            Merge::Set { .. } => Some(format!("v:{element}")),
            Merge::Keyed(keyed) if !keyed.keys.is_empty() => {
                let mut keys = BTreeMap::new();
                for key in keyed.keys {
                    let value = match (element.get(key.name), key.default) {
                        (Some(value), _) => value.clone(),
                        (None, Some(default)) => default.into(),
                        (None, None) => return None,
                    };
                    keys.insert(key.name, value);
                }
                serde_json::to_string(&keys)
                    .ok()
                    .map(|keys| format!("k:{keys}"))
            }
            _ => None,
        }
    }
}

/// Where a list has an element twice, and which: `.spec.ports: … [port=80,protocol="TCP"]`.
pub fn duplicate(value: &Value, shape: Shape) -> Option<String> {
    match value {
        Value::Object(map) if !shape.of.atomic => map.iter().find_map(|(name, value)| {
            let below = duplicate(value, shape.field(name))?;
            Some(format!(".{name}{below}"))
        }),
        Value::Array(list) => {
            let mut known = BTreeSet::new();
            list.iter().find_map(|element| {
                let id = shape.identity(element)?;
                let spelt = spell(&id);
                match known.insert(id) {
                    false => Some(format!(": duplicate entries for key {spelt}")),
                    true => Some(spelt + &duplicate(element, shape.element())?),
                }
            })
        }
        _ => None,
    }
}

impl Fields {
    fn leaf() -> Fields {
        Fields {
            member: true,
            below: BTreeMap::new(),
        }
    }

    /// All fields of `value`.
    pub fn of(value: &Value, shape: Shape) -> Fields {
        match shape.parts(value) {
            Parts::Whole => Fields::leaf(),
            Parts::Object(map) => Fields {
                member: false,
                below: map
                    .iter()
                    // What Go writes of a moment that was not said is nobody's.
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| {
                        (["f:", name].concat(), Fields::of(value, shape.field(name)))
                    })
                    .collect(),
            },
            Parts::Elements(elements) => Fields {
                member: false,
                below: elements
                    .into_iter()
                    .map(|element| {
                        let mut fields = Fields::of(element.value, element.shape);
                        fields.member = true;
                        (element.id, fields)
                    })
                    .collect(),
            },
        }
    }

    pub fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }

    pub fn insert(&mut self, branch: &str, fields: Fields) {
        if !fields.is_empty() {
            self.below.insert(branch.to_owned(), fields);
        }
    }

    pub fn add(&mut self, other: &Fields) {
        self.member |= other.member;
        for (branch, fields) in &other.below {
            self.below.entry(branch.clone()).or_default().add(fields);
        }
    }

    /// Takes the members of `other` out.
    pub fn subtract(&mut self, other: &Fields) {
        self.member &= !other.member;
        self.below.retain(|branch, fields| {
            if let Some(other) = other.below.get(branch) {
                fields.subtract(other);
            }
            !fields.is_empty()
        });
    }

    pub fn intersection(&self, other: &Fields) -> Fields {
        let mut common = Fields {
            member: self.member && other.member,
            below: BTreeMap::new(),
        };
        for (branch, fields) in &self.below {
            if let Some(other) = other.below.get(branch) {
                common.insert(branch, fields.intersection(other));
            }
        }
        common
    }

    /// Takes out a field and all that is in it.
    pub fn cut(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => {
                self.below.remove(&format!("f:{last}"));
            }
            [first, rest @ ..] => {
                let branch = format!("f:{first}");
                if let Some(fields) = self.below.get_mut(&branch) {
                    fields.cut(rest);
                    if fields.is_empty() {
                        self.below.remove(&branch);
                    }
                }
            }
        }
    }

    /// The members as people write them: `.spec.containers[name="web"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        if self.member {
            paths.push(prefix.to_owned());
        }
        for (branch, fields) in &self.below {
            fields.collect_paths(&format!("{prefix}{}", spell(branch)), paths);
        }
    }

    pub fn encode(self) -> Value {
        let itself = self.member && !self.below.is_empty();
        let mut map = Map::with_capacity(usize::from(itself) + self.below.len());
        if itself {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        for (branch, fields) in self.below {
            map.insert(branch, fields.encode());
        }
        Value::Object(map)
    }

    /// What is no set of fields is an empty one, as is a set without a field.
    pub fn decode(json: &Value) -> Fields {
        let mut fields = Fields::default();
        for (branch, below) in json.as_object().into_iter().flatten() {
            if branch == "." {
                fields.member = true;
                continue;
            }
            let below = match below.as_object().is_some_and(Map::is_empty) {
                true => Fields::leaf(),
                false => Fields::decode(below),
            };
            fields.insert(branch, below);
        }
        fields
    }
}

fn spell(branch: &str) -> String {
    match branch.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("[{}]", keys.join(","))
        }
        Some(("v", value)) => format!("[={value}]"),
        _ => format!("[{branch}]"),
    }
}
