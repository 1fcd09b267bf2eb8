//! Mutations of JSON documents.
//!
//! What libFuzzer changes by itself is hardly ever JSON any more. This changes documents as trees, with
//! parts of one put into another, so that most of what is tried gets past the parser.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Map, Value, json};

/// Changes an input of documents, a line each. Now and then, and where there is no document, it is
/// libFuzzer that does. Answers the new size, at most `max_size`.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Random(seed);
    let changed = match random.below(4) {
        0 => None,
        _ => std::str::from_utf8(&data[..size])
            .ok()
            .and_then(|text| mutate_lines(text, &mut random)),
    };
    match changed.filter(|text| text.len() <= max_size) {
        Some(text) => {
            data[..text.len()].copy_from_slice(text.as_bytes());
            text.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
}

fn mutate_lines(text: &str, random: &mut Random) -> Option<String> {
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).ok())
        .collect::<Option<_>>()?;
    if lines.is_empty() {
        return None;
    }
    let place = random.below(lines.len());
    match random.below(16) {
        0 => lines.push(lines[place].clone()),
        1 if lines.len() > 1 => drop(lines.remove(place)),
        2 => lines.swap(0, place),
        _ => {
            for _ in 0..=random.below(3) {
                let donor = random.below(lines.len());
                let part = part(&lines[donor], random);
                change(&mut lines[place], part, random);
            }
        }
    }
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    Some(lines.join("\n"))
}

/// Any value in a document, under the name that it has where it has one.
fn part(document: &Value, random: &mut Random) -> (Option<String>, Value) {
    let mut found = (None, document);
    while random.below(4) > 0 {
        found = match found.1 {
            Value::Object(map) if !map.is_empty() => {
                let (name, value) = map.iter().nth(random.below(map.len())).expect("it is one");
                (Some(name.clone()), value)
            }
            Value::Array(list) if !list.is_empty() => (None, &list[random.below(list.len())]),
            _ => break,
        };
    }
    (found.0, found.1.clone())
}

fn change(value: &mut Value, part: (Option<String>, Value), random: &mut Random) {
    // Mostly something deeper in it.
    if random.below(4) > 0 {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let place = random.below(map.len());
                let inner = map.values_mut().nth(place);
                return change(inner.expect("it is one"), part, random);
            }
            Value::Array(list) if !list.is_empty() => {
                let place = random.below(list.len());
                return change(&mut list[place], part, random);
            }
            _ => {}
        }
    }
    match value {
        Value::Object(map) => change_map(map, part, random),
        Value::Array(list) => change_list(list, part.1, random),
        Value::String(text) if random.below(2) == 0 => change_text(text, random),
        _ if random.below(2) == 0 => *value = part.1,
        _ => *value = odd(random),
    }
}

fn change_map(map: &mut Map<String, Value>, part: (Option<String>, Value), random: &mut Random) {
    let name = map.keys().nth(random.below(map.len().max(1))).cloned();
    match (random.below(4), name) {
        (0, Some(name)) => drop(map.shift_remove(&name)),
        (1, Some(name)) => drop(map.insert(name, odd(random))),
        (2, Some(name)) => {
            let value = map.shift_remove(&name).expect("it is there");
            map.insert(part.0.unwrap_or(name), value);
        }
        (_, name) => {
            let name = part.0.or(name).unwrap_or_else(|| "name".into());
            map.insert(name, part.1);
        }
    }
}

fn change_list(list: &mut Vec<Value>, part: Value, random: &mut Random) {
    let place = random.below(list.len().max(1));
    match (random.below(4), list.get(place).cloned()) {
        (0, Some(_)) => drop(list.remove(place)),
        (1, Some(again)) => list.push(again),
        (2, Some(_)) => list.swap(0, place),
        _ => list.insert(place.min(list.len()), part),
    }
}

fn change_text(text: &mut String, random: &mut Random) {
    const PIECES: [&str; 12] = ["a", "A", "-", ".", "/", "0", "1", "~", "é", "Mi", "%", ":"];
    let ends: Vec<usize> = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    let at = ends[random.below(ends.len())];
    match random.below(2) {
        0 => text.truncate(at),
        _ => text.insert_str(at, PIECES[random.below(PIECES.len())]),
    }
}

/// What is seldom thought of.
fn odd(random: &mut Random) -> Value {
    let odd = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1),
        json!(65_536),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(0.1),
        json!(""),
        json!("x"),
        json!("10.244.0.1"),
        json!("fd00::1"),
        json!("100m"),
        json!("2026-01-01T00:00:00Z"),
        json!([]),
        json!({}),
        json!([{}]),
    ];
    odd[random.below(odd.len())].clone()
}

/// Marsaglia's xorshift.
struct Random(u32);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // Zero would stay zero.
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % bound
    }
}
