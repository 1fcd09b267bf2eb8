//! From steps and a value to what they find in it.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Comparison, Node, Operand, Step};

pub enum Found<'a> {
    Text(&'a str),
    Values(Vec<&'a Value>),
}

pub fn run<'a>(
    nodes: &'a [Node],
    value: &'a Value,
    found: &mut Vec<Found<'a>>,
) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(text) => found.push(Found::Text(text)),
            Node::Values(path) => found.push(Found::Values(walk(path, value)?)),
            Node::Range(path, body) => {
                for each in walk(path, value)? {
                    run(body, each, found)?;
                }
            }
        }
    }
    Ok(())
}

fn walk<'a>(path: &'a [Step], value: &'a Value) -> Result<Vec<&'a Value>, String> {
    let mut values = vec![value];
    for step in path {
        values = take(step, values)?;
    }
    Ok(values)
}

fn take<'a>(step: &'a Step, values: Vec<&'a Value>) -> Result<Vec<&'a Value>, String> {
    let mut taken = Vec::new();
    for value in values {
        match step {
            Step::Field(name) => taken.extend(value.as_object().and_then(|map| map.get(name))),
            Step::All => taken.extend(below(value)),
            Step::Descend => descend(value, &mut taken),
            Step::Union(paths) => {
                for path in paths {
                    taken.extend(walk(path, value)?);
                }
            }
            _ if value.is_null() => {}
            Step::Index(index) => {
                // Before 0 stands nothing: the last element ends where the list does.
                let before = (*index != -1).then(|| index.saturating_add(1));
                taken.extend(slice(value, Some(*index), before, 1)?);
            }
            Step::Slice(from, before, step) => {
                let step = usize::try_from(step.unwrap_or(1))
                    .ok()
                    .filter(|step| *step > 0);
                let step = step.ok_or("step must be > 0")?;
                taken.extend(slice(value, *from, *before, step)?);
            }
            Step::Filter(path, comparison) => {
                let Value::Array(items) = value else {
                    return Err(format!(
                        "{value} is not array or slice and cannot be filtered"
                    ));
                };
                for item in items {
                    if passes(item, path, comparison.as_ref())? {
                        taken.push(item);
                    }
                }
            }
        }
    }
    Ok(taken)
}

/// What a value directly holds; of a map, in the order of its keys.
fn below(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => {
            let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            pairs.into_iter().map(|(_, value)| value).collect()
        }
        _ => Vec::new(),
    }
}

fn descend<'a>(value: &'a Value, taken: &mut Vec<&'a Value>) {
    let inside = below(value);
    if !inside.is_empty() {
        taken.push(value);
    }
    for value in inside {
        descend(value, taken);
    }
}

fn slice(
    value: &Value,
    from: Option<i64>,
    before: Option<i64>,
    step: usize,
) -> Result<Vec<&Value>, String> {
    let Value::Array(items) = value else {
        return Err(format!("{value} is not array or slice"));
    };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let from_end = |at: i64| {
        if at < 0 {
            at.saturating_add(length)
        } else {
            at
        }
    };
    let first = from_end(from.unwrap_or(0));
    let end = before.map_or(length, from_end);
    if first == end {
        return Ok(Vec::new());
    }
    let outside = |at: i64| format!("array index out of bounds: index {at}, length {length}");
    if !(0..length).contains(&first) {
        return Err(outside(first));
    }
    if !(0..=length).contains(&end) {
        return Err(outside(end - 1));
    }
    if first > end {
        return Err(format!(
            "starting index {first} is greater than ending index {end}"
        ));
    }
    let [first, end] = [first, end].map(|at| usize::try_from(at).unwrap_or(0));
    Ok(items[first..end].iter().step_by(step).collect())
}

fn passes(
    item: &Value,
    path: &[Step],
    comparison: Option<&(Comparison, Operand)>,
) -> Result<bool, String> {
    let lefts = walk_from(path, item)?;
    let Some((comparison, right)) = comparison else {
        return Ok(!lefts.is_empty());
    };
    let rights = match right {
        Operand::Literal(value) => vec![value.clone()],
        Operand::Path(path) => walk_from(path, item)?,
    };
    let (left, right) = match (&lefts[..], &rights[..]) {
        ([], _) | (_, []) => return Ok(false),
        ([left], [right]) => (left, right),
        _ => return Err("can only compare one element at a time".to_owned()),
    };
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        _ => None,
    };
    let order =
        order.ok_or_else(|| format!("incompatible types for comparison: {left}, {right}"))?;
    Ok(match comparison {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::Unequal => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    })
}

/// As [`walk`], for what is only looked at.
fn walk_from(path: &[Step], value: &Value) -> Result<Vec<Value>, String> {
    Ok(walk(path, value)?.into_iter().cloned().collect())
}
