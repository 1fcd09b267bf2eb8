//! What differs between two states of an object.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::Value;

use super::fields::{Element, Fields, Parts, Shape};

/// The fields that changed or came, and those that went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub changed: Fields,
    pub removed: Fields,
}

impl Difference {
    pub fn between(old: &Value, new: &Value, shape: Shape) -> Difference {
        if old == new {
            return Difference::default();
        }
        match (shape.parts(old), shape.parts(new)) {
            (Parts::Object(old), Parts::Object(new)) => {
                let named = |name: &String| format!("f:{name}");
                let part = |(name, value)| (named(name), Cow::Borrowed(value));
                let (old, new) = (old.iter().map(part), new.iter().map(part));
                Difference::of_parts(old.collect(), new.collect(), |branch| {
                    shape.field(branch.strip_prefix("f:").unwrap_or(branch))
                })
            }
            (Parts::Elements(old), Parts::Elements(new)) => {
                Difference::of_parts(by_id(old), by_id(new), |_| shape.element())
            }
            _ => {
                let mut removed = gone(Fields::of(old, shape));
                let changed = Fields::of(new, shape);
                removed.subtract(&changed);
                Difference { changed, removed }
            }
        }
    }

    fn of_parts(
        old: BTreeMap<String, Cow<'_, Value>>,
        new: BTreeMap<String, Cow<'_, Value>>,
        shape: impl Fn(&str) -> Shape,
    ) -> Difference {
        let mut difference = Difference::default();
        for (branch, value) in &new {
            let shape = shape(branch);
            match old.get(branch) {
                Some(before) => {
                    let mut inner = Difference::between(before, value, shape);
                    let was_several = matches!(before, Cow::Owned(_));
                    if was_several && inner != Difference::default() {
                        inner.changed = came(inner.changed, branch);
                    }
                    difference.changed.insert(branch, inner.changed);
                    difference.removed.insert(branch, inner.removed);
                }
                None => {
                    let fields = Fields::of(value, shape);
                    difference.changed.insert(branch, came(fields, branch));
                }
            }
        }
        for (branch, value) in old.iter().filter(|(branch, _)| !new.contains_key(*branch)) {
            let fields = Fields::of(value, shape(branch));
            difference.removed.insert(branch, gone(fields));
        }
        difference
    }
}

/// Those that are known by the same are told as a list.
fn by_id(elements: Vec<Element<'_>>) -> BTreeMap<String, Cow<'_, Value>> {
    let mut known: BTreeMap<String, Cow<'_, Value>> = BTreeMap::new();
    for Element { id, value, .. } in elements {
        match known.entry(id) {
            Entry::Vacant(place) => {
                place.insert(Cow::Borrowed(value));
            }
            Entry::Occupied(mut place) => match place.get_mut() {
                Cow::Owned(Value::Array(all)) => all.push(value.clone()),
                first => {
                    *first = Cow::Owned(Value::Array(vec![first.as_ref().clone(), value.clone()]))
                }
            },
        }
    }
    known
}

/// With everything that the fields stood in: somebody may own that as an empty one.
fn gone(mut fields: Fields) -> Fields {
    fields.member = true;
    for below in fields.below.values_mut() {
        *below = gone(std::mem::take(below));
    }
    fields
}

/// An element is a field besides its own fields.
fn came(mut fields: Fields, branch: &str) -> Fields {
    fields.member |= !branch.starts_with("f:");
    fields
}
