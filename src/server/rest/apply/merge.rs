//! Merging what somebody applies into an object, and taking away what they no longer do.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::fields::{Fields, Parts, Shape};
use crate::server::schema::Key;

/// `live` with everything that `config` says.
pub fn merge(live: Value, config: &Value, shape: Shape) -> Value {
    match (live, config) {
        (Value::Object(mut live), Value::Object(config)) if !shape.of.atomic => {
            for (name, value) in config {
                let before = live.get_mut(name).map(Value::take).unwrap_or_default();
                live.insert(name.clone(), merge(before, value, shape.field(name)));
            }
            Value::Object(live)
        }
        (Value::Array(live), Value::Array(config)) => {
            Value::Array(merge_lists(live, config, shape))
        }
        (_, config) => config.clone(),
    }
}

/// Those of `config` in its order. The others keep theirs, and stand before the first of `config` that
/// they stood before, or that is new. As `visitListItems` of structured-merge-diff.
fn merge_lists(mut live: Vec<Value>, config: &[Value], shape: Shape) -> Vec<Value> {
    let (Some(ids), Some(wanted)) = (ids(&live, shape), ids(config, shape)) else {
        return config.to_vec();
    };
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, id) in ids.iter().enumerate() {
        places.entry(id).or_default().push(place);
    }
    let named: HashSet<&String> = wanted.iter().collect();
    let mut shared = wanted
        .iter()
        .filter(|id| places.contains_key(id.as_str()))
        .peekable();
    let mut rest = config.iter().zip(&wanted);
    let mut merged = Vec::with_capacity(live.len() + config.len());
    let merge_one = |element: &Value, id: &str, live: &mut [Value]| match places.get(id) {
        Some(places) if places.len() == 1 => {
            merge(live[places[0]].take(), element, shape.element())
        }
        // What is there twice is replaced: none of its fields is known to be whose.
        _ => element.clone(),
    };
    for (place, id) in ids.iter().enumerate() {
        if !named.contains(id) {
            merged.push(live[place].take());
        } else if shared.next_if_eq(&id).is_some() {
            for (element, wanted) in rest.by_ref() {
                merged.push(merge_one(element, wanted, &mut live));
                if wanted == id {
                    break;
                }
            }
        }
    }
    merged.extend(rest.map(|(element, id)| merge_one(element, id, &mut live)));
    merged
}

/// What the elements are known by, if all are.
fn ids(list: &[Value], shape: Shape) -> Option<Vec<String>> {
    list.iter().map(|element| shape.identity(element)).collect()
}

/// Takes the fields `gone` out of `value`, but for those in `kept` and what they stand in. Whatever
/// becomes empty by that goes too, unless it is in `kept` itself: `None` if it is all. An element of
/// which something is left has its keys still, whosever they are: it would be another without.
pub fn remove(value: Value, gone: &Fields, kept: Option<&Fields>, shape: Shape) -> Option<Value> {
    if gone.member && kept.is_none_or(Fields::is_empty) {
        return None;
    }
    let may_be_empty = kept.is_some_and(|kept| kept.member);
    let inner = |branch: &str, value: Value, shape: Shape| match gone.below.get(branch) {
        Some(gone) => remove(
            value,
            gone,
            kept.and_then(|kept| kept.below.get(branch)),
            shape,
        ),
        None => Some(value),
    };
    match (shape.parts(&value), &value) {
        (Parts::Object(_), Value::Object(map)) => {
            let left: Map<String, Value> = map
                .iter()
                .filter_map(|(name, value)| {
                    let value = inner(&format!("f:{name}"), value.clone(), shape.field(name))?;
                    Some((name.clone(), value))
                })
                .collect();
            (may_be_empty || !left.is_empty()).then_some(Value::Object(left))
        }
        (Parts::Elements(elements), _) => {
            let left: Vec<Value> = elements
                .into_iter()
                .filter_map(|element| {
                    let left = inner(&element.id, element.value.clone(), element.shape)?;
                    Some(with_keys(left, element.value, shape.keys()))
                })
                .collect();
            (may_be_empty || !left.is_empty()).then_some(Value::Array(left))
        }
        _ => Some(value),
    }
}

/// What is left of `element`, with the fields that it is known by.
fn with_keys(left: Value, element: &Value, keys: &[Key]) -> Value {
    let (Value::Object(left), Value::Object(element)) = (&left, element) else {
        return left;
    };
    let is_key = |name: &str| keys.iter().any(|key| key.name == name);
    let of_either = |(name, before): (&String, &Value)| {
        let value = left.get(name).or(is_key(name).then_some(before))?;
        Some((name.clone(), value.clone()))
    };
    element.iter().filter_map(of_either).collect()
}
