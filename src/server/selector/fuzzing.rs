//! Selectors: what is understood can be said again, and means what a plain reading of it says.

use std::collections::BTreeMap;

use super::{FieldSelector, LabelSelector};
use crate::server::kinds::pod::PODS;

/// A selector in the first line, and in each that follows a label (`KEY=VALUE`) of the object
/// that it is asked about.
pub fn selector(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let selector = lines.next().unwrap_or("");
    let labels: BTreeMap<&str, &str> = lines.filter_map(|line| line.split_once('=')).collect();
    by_label(selector, &labels);
    by_field(selector, &labels);
}

fn by_label(text: &str, labels: &BTreeMap<&str, &str>) {
    let Ok(parsed) = LabelSelector::parse(text) else {
        return;
    };
    let spelt = parsed.to_string();
    assert_eq!(
        LabelSelector::parse(&spelt).as_ref(),
        Ok(&parsed),
        "{spelt}"
    );
    let spaced = text
        .replace(',', " , ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    assert_eq!(
        LabelSelector::parse(&spaced).as_ref(),
        Ok(&parsed),
        "{spaced}"
    );
    let matches = parsed.matches(|key| labels.get(key).copied());
    let read = requirements(&spelt).iter().all(|one| holds(one, labels));
    assert_eq!(matches, read, "{spelt} on {labels:?}");
}

/// The parts of a selector, as it is spelt: split at the commas outside of parentheses.
fn requirements(spelt: &str) -> Vec<&str> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, character) in spelt.char_indices() {
        match character {
            '(' => inside = true,
            ')' => inside = false,
            ',' if !inside => {
                parts.push(&spelt[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&spelt[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

fn holds(requirement: &str, labels: &BTreeMap<&str, &str>) -> bool {
    let list = |values: &str, value: &str| {
        values
            .trim_end_matches(')')
            .split(',')
            .any(|one| one == value)
    };
    let number = |text: &str| text.parse::<i64>().ok();
    let compared = |key: &str, bound: &str| {
        let value = labels.get(key).copied().and_then(number)?;
        Some(value.cmp(&number(bound)?))
    };
    if let Some(key) = requirement.strip_prefix('!') {
        !labels.contains_key(key)
    } else if let Some((key, values)) = requirement.split_once(" notin (") {
        labels.get(key).is_none_or(|value| !list(values, value))
    } else if let Some((key, values)) = requirement.split_once(" in (") {
        labels.get(key).is_some_and(|value| list(values, value))
    } else if let Some((key, value)) = requirement.split_once('=') {
        labels.get(key) == Some(&value)
    } else if let Some((key, bound)) = requirement.split_once('>') {
        compared(key, bound).is_some_and(|order| order.is_gt())
    } else if let Some((key, bound)) = requirement.split_once('<') {
        compared(key, bound).is_some_and(|order| order.is_lt())
    } else {
        labels.contains_key(requirement)
    }
}

/// The text as it is, and then the labels' values as those of fields that are asked for.
fn by_field(text: &str, values: &BTreeMap<&str, &str>) {
    // Anything is taken or refused.
    let _ = FieldSelector::parse(&PODS, text);
    let fields = [
        "metadata.name",
        "metadata.namespace",
        "spec.nodeName",
        "status.phase",
    ];
    let asked: Vec<(&str, &str)> = fields.into_iter().zip(values.values().copied()).collect();
    let escaped = |value: &str| {
        let value = value.replace('\\', r"\\");
        value.replace(',', r"\,").replace('=', r"\=")
    };
    for operator in ["=", "==", "!="] {
        let terms: Vec<String> = asked
            .iter()
            .map(|(field, value)| format!("{field}{operator}{}", escaped(value)))
            .collect();
        let selector = FieldSelector::parse(&PODS, &terms.join(",")).expect("as it is spelt");
        let value_of = |field: &str| {
            let found = asked.iter().find(|(asked, _)| *asked == field);
            found.map_or("", |(_, value)| value)
        };
        let expected = operator != "!=" || asked.is_empty();
        assert_eq!(selector.matches(value_of), expected, "{terms:?}");
    }
}
