//! The lists of a strategic merge patch: merged by key or as sets, and put in order.
//!
//! Everything is found by a hash, so that a large patch of a large list costs their sum.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Directive, merge_map, take_directive};
use crate::server::schema::Type;

/// Merges `patch` into the elements that `key` tells apart.
pub fn merge_keyed(
    current: Vec<Value>,
    patch: Vec<Value>,
    order: Option<&[Value]>,
    key: &str,
    of: &Type,
) -> Result<Vec<Value>, String> {
    let parsed = with_directives(patch)?;
    if parsed.iter().any(|(does, _)| *does == Directive::Replace) {
        let replacing = parsed
            .into_iter()
            .filter(|(does, _)| *does == Directive::Merge);
        return replacing.map(|(_, element)| fresh(element, of)).collect();
    }
    let before = current.clone();
    let mut slots: Vec<Option<Value>> = current.into_iter().map(Some).collect();
    // More than one element may have a key; patches are about the first, deletions about all.
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, element) in slots.iter().enumerate() {
        if let Some(id) = element.as_ref().and_then(|element| identity(element, key)) {
            places.entry(id).or_default().push(place);
        }
    }
    let mut named = Vec::with_capacity(parsed.len());
    for (directive, element) in parsed {
        let is_value =
            |id: &&Value| !matches!(id, Value::Null | Value::Array(_) | Value::Object(_));
        let id = element.get(key).filter(is_value);
        let id = id.map(Value::to_string).ok_or_else(|| {
            format!("an element of the patch has no {key:?}, the key of its list")
        })?;
        if directive == Directive::Delete {
            for place in places.remove(&id).unwrap_or_default() {
                slots[place] = None;
            }
            continue;
        }
        named.push(Value::Object(Map::from_iter([(
            key.to_owned(),
            element[key].clone(),
        )])));
        let place = places.get(&id).and_then(|places| places.first().copied());
        match place.and_then(|place| slots[place].as_mut()) {
            Some(Value::Object(map)) => merge_map(map, element, of)?,
            _ => {
                places.insert(id, vec![slots.len()]);
                slots.push(Some(fresh(element, of)?));
            }
        }
    }
    let mut merged: Vec<Value> = slots.into_iter().flatten().collect();
    arrange(
        &mut merged,
        order.unwrap_or(&named),
        &before,
        &known_by(Some(key)),
    );
    Ok(merged)
}

/// An element of a patch, and what is to be done with it.
type Instruction = (Directive, Map<String, Value>);

/// The elements of a patch, with what is to be done with each.
fn with_directives(patch: Vec<Value>) -> Result<Vec<Instruction>, String> {
    patch
        .into_iter()
        .map(|element| match element {
            Value::Object(mut element) => Ok((take_directive(&mut element)?, element)),
            other => Err(format!("{other} is no element of a list of objects")),
        })
        .collect()
}

/// An element that was not there before.
fn fresh(patch: Map<String, Value>, of: &Type) -> Result<Value, String> {
    let mut map = Map::new();
    merge_map(&mut map, patch, of)?;
    Ok(Value::Object(map))
}

/// Adds the values of `patch` that are not there yet.
pub fn merge_set(current: Vec<Value>, patch: Vec<Value>, order: Option<&[Value]>) -> Vec<Value> {
    let before = current.clone();
    let mut seen = HashSet::new();
    let mut merged: Vec<Value> = current.into_iter().chain(patch.iter().cloned()).collect();
    merged.retain(|value| seen.insert(value.to_string()));
    arrange(
        &mut merged,
        order.unwrap_or(&patch),
        &before,
        &known_by(None),
    );
    merged
}

/// Takes values out of the set `name`.
pub fn delete_values(map: &mut Map<String, Value>, name: &str, leaving: &[Value]) {
    if let Some(Value::Array(values)) = map.get_mut(name) {
        let leaving: HashSet<String> = leaving.iter().map(Value::to_string).collect();
        values.retain(|value| !leaving.contains(&value.to_string()));
    }
}

/// What an element of such a list is known by.
pub fn known_by(key: Option<&str>) -> impl Fn(&Value) -> String {
    move |element| {
        key.and_then(|key| identity(element, key))
            .unwrap_or_else(|| element.to_string())
    }
}

/// Puts the elements that `order` names into its order. The others keep theirs, each before the
/// first named one that stood after it `before`. `id` is what an element is known by.
pub fn arrange(
    elements: &mut Vec<Value>,
    order: &[Value],
    before: &[Value],
    id: &impl Fn(&Value) -> String,
) {
    let ranks = |list: &[Value]| -> HashMap<String, usize> {
        let mut ranks = HashMap::new();
        for (rank, element) in list.iter().enumerate() {
            ranks.entry(id(element)).or_insert(rank);
        }
        ranks
    };
    let (wanted, stood) = (ranks(order), ranks(before));
    let (mut named, others): (Vec<Value>, Vec<Value>) = std::mem::take(elements)
        .into_iter()
        .partition(|element| wanted.contains_key(&id(element)));
    named.sort_by_cached_key(|element| wanted.get(&id(element)).copied());
    let mut named = named.into_iter().peekable();
    for other in others {
        let place = stood.get(&id(&other));
        while let Some(next) = named.next_if(|next| match (place, stood.get(&id(next))) {
            (Some(place), Some(next)) => next < place,
            _ => true,
        }) {
            elements.push(next);
        }
        elements.push(other);
    }
    elements.extend(named);
}

fn identity(element: &Value, key: &str) -> Option<String> {
    element.get(key).map(Value::to_string)
}
