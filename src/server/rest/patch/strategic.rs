//! Strategic merge patches: merge patches that know how a kind's lists merge.
//!
//! A map merges key by key and null deletes. A list merges by its key (or as a set) where the
//! [schema](crate::server::schema) names one, and is replaced elsewhere. Directives say the rest:
//!
//! | directive | in | means |
//! |---|---|---|
//! | `$patch: replace` | map, list element | the patch takes the place of what is there |
//! | `$patch: delete` | map, list element | it goes |
//! | `$patch: merge` | map | the rule |
//! | `$retainKeys: […]` | map | all other keys go |
//! | `$deleteFromPrimitiveList/x: […]` | map | these values leave the set `x` |
//! | `$setElementOrder/x: […]` | map | the order of the elements that the client knows |
//!
//! No directive is ever stored. Source: Kubernetes' design document on strategic merge patches,
//! and what kube-apiserver's `strategicpatch` does where that is silent.

mod list;

use serde_json::{Map, Value};

use crate::server::schema::{Field, Merge, PLAIN, Type};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// Changes `value`, which is worth nothing after a failure.
///
/// # Errors
/// What in the patch makes no sense, for its author.
pub fn apply(value: &mut Value, patch: Map<String, Value>, of: &Type) -> Result<(), String> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => merge_map(map, patch, of),
        _ => Ok(()),
    }
}

/// What `$patch` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

fn take_directive(patch: &mut Map<String, Value>) -> Result<Directive, String> {
    let Some(directive) = patch.shift_remove(PATCH) else {
        return Ok(Directive::Merge);
    };
    match directive.as_str() {
        Some("merge") => Ok(Directive::Merge),
        Some("replace") => Ok(Directive::Replace),
        Some("delete") => Ok(Directive::Delete),
        _ => Err(format!(
            "{PATCH} is {directive}, which is none of \"merge\", \"replace\" and \"delete\""
        )),
    }
}

fn merge_map(
    map: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
    of: &Type,
) -> Result<(), String> {
    match take_directive(&mut patch)? {
        Directive::Merge => {}
        Directive::Delete => {
            map.clear();
            return Ok(());
        }
        Directive::Replace => map.clear(),
    }
    if let Some(keys) = patch.shift_remove(RETAIN_KEYS) {
        retain_keys(map, &patch, &keys)?;
    }
    let (orders, alone): (Vec<_>, Vec<_>) = take_prefixed(&mut patch, SET_ORDER)?
        .into_iter()
        .partition(|(name, _)| patch.contains_key(name));
    for (name, leaving) in take_prefixed(&mut patch, DELETE_FROM)? {
        list::delete_values(map, &name, &leaving);
    }
    for (name, value) in patch {
        let order = orders.iter().find(|(of, _)| *of == name);
        let order = order.map(|(_, order)| order.as_slice());
        merge_field(map, name, value, order, of)?;
    }
    // Without elements an order moves what is there.
    for (name, order) in alone {
        let key = of.field(&name).and_then(Field::patch_key);
        if let Some(Value::Array(elements)) = map.get_mut(&name) {
            let before = elements.clone();
            list::arrange(elements, &order, &before, &list::known_by(key));
        }
    }
    Ok(())
}

fn retain_keys(
    map: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    keys: &Value,
) -> Result<(), String> {
    let keys: Vec<&str> = keys
        .as_array()
        .ok_or_else(|| format!("{RETAIN_KEYS} is {keys}, which is no list of keys"))?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let stray = patch
        .iter()
        .find(|(key, value)| !value.is_null() && !keys.contains(&key.as_str()));
    if let Some((key, _)) = stray {
        return Err(format!(
            "the patch sets {key:?}, which {RETAIN_KEYS} does not name"
        ));
    }
    map.retain(|key, _| keys.contains(&key.as_str()));
    Ok(())
}

/// Takes the lists out of `patch` that stand under `prefix` and a field's name.
fn take_prefixed(
    patch: &mut Map<String, Value>,
    prefix: &str,
) -> Result<Vec<(String, Vec<Value>)>, String> {
    let keys: Vec<String> = patch
        .keys()
        .filter(|key| key.starts_with(prefix))
        .cloned()
        .collect();
    keys.into_iter()
        .map(|key| match patch.shift_remove(&key) {
            Some(Value::Array(list)) => Ok((key[prefix.len()..].to_owned(), list)),
            other => Err(format!(
                "{key} is {}, which is no list",
                other.unwrap_or_default()
            )),
        })
        .collect()
}

fn merge_field(
    map: &mut Map<String, Value>,
    name: String,
    patch: Value,
    order: Option<&[Value]>,
    of: &Type,
) -> Result<(), String> {
    let field = of.field(&name);
    let inner = field.map_or(&PLAIN, |field| field.of);
    match patch {
        Value::Null => {
            map.shift_remove(&name);
        }
        Value::Object(patch) => {
            let delete = patch.get(PATCH).and_then(Value::as_str) == Some("delete");
            if delete && !map.contains_key(&name) {
                return Ok(());
            }
            apply(map.entry(name).or_insert(Value::Null), patch, inner)?;
        }
        Value::Array(patch) => {
            let current = match map.get_mut(&name) {
                Some(Value::Array(current)) => std::mem::take(current),
                _ => Vec::new(),
            };
            let merged = match field.map(|field| (field.patch_key(), &field.merge)) {
                Some((Some(key), _)) => list::merge_keyed(current, patch, order, key, inner)?,
                Some((None, Merge::Set { patch: true })) => list::merge_set(current, patch, order),
                _ => patch.into_iter().map(plain).collect::<Result<_, _>>()?,
            };
            map.insert(name, Value::Array(merged));
        }
        value => {
            map.insert(name, value);
        }
    }
    Ok(())
}

/// A patch's value where there is nothing to merge it into: without its directives.
fn plain(value: Value) -> Result<Value, String> {
    match value {
        Value::Object(patch) => {
            let mut map = Map::new();
            merge_map(&mut map, patch, &PLAIN)?;
            Ok(Value::Object(map))
        }
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests;
