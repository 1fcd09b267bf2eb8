//! Merging what somebody applies into an object, and taking away what they no longer do.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::fields::{Fields, Parts, Shape};
use crate::server::rest::patch::arrange;

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

fn merge_lists(live: Vec<Value>, config: &[Value], shape: Shape) -> Vec<Value> {
    let id = |element: &Value| shape.identity(element);
    if live
        .iter()
        .chain(config)
        .any(|element| id(element).is_none())
    {
        return config.to_vec();
    }
    let before = live.clone();
    let mut merged = live;
    let mut places: HashMap<Option<String>, usize> = HashMap::new();
    for (place, element) in merged.iter().enumerate() {
        places.entry(id(element)).or_insert(place);
    }
    for element in config {
        match places.get(&id(element)).copied() {
            Some(place) => {
                merged[place] = merge(merged[place].take(), element, shape.element());
            }
            None => {
                places.insert(id(element), merged.len());
                merged.push(element.clone());
            }
        }
    }
    arrange(&mut merged, config, &before, &|element| {
        id(element).unwrap_or_default()
    });
    merged
}

/// Takes the fields `gone` out of `value`, but for those in `kept` and what they stand in. Whatever
/// becomes empty by that goes too, unless it is in `kept` itself: `None` if it is all.
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
                .filter_map(|(id, element)| inner(&id, element.clone(), shape.element()))
                .collect();
            (may_be_empty || !left.is_empty()).then_some(Value::Array(left))
        }
        _ => Some(value),
    }
}
