//! Every field of an object, for kinds without a form of their own.

use serde_json::{Map, Value};

use super::super::print::json;
use super::super::resource::Object;
use super::Scene;
use super::events::finish;
use super::writer::{Pairs, Writer};

/// What stands at the top already, or is for programs.
const SKIPPED: [&str; 5] = [
    ".metadata.managedFields",
    ".metadata.name",
    ".metadata.namespace",
    ".metadata.labels",
    ".metadata.annotations",
];
/// Written in capitals.
const ACRONYMS: [&str; 4] = ["API", "URL", "UID", "GUID"];

pub async fn describe(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    let metadata = &object.value["metadata"];
    let pairs = |field: &str| serde_json::from_value::<Pairs>(metadata[field].clone()).ok();
    let mut w = Writer::new();
    w.field(0, "Name", object.name());
    w.field(
        0,
        "Namespace",
        metadata["namespace"].as_str().unwrap_or_default(),
    );
    w.pairs("Labels", pairs("labels").as_ref());
    w.annotations("Annotations", pairs("annotations").as_ref());
    if let Value::Object(content) = &object.value {
        fields(&mut w, 0, content, "");
    }
    Ok(finish(w, scene.events(object).await?))
}

fn fields(w: &mut Writer, level: usize, content: &Map<String, Value>, path: &str) {
    let mut pairs: Vec<(&String, &Value)> = content.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    for (key, value) in pairs {
        let path = format!("{path}.{key}");
        if SKIPPED.contains(&path.as_str()) {
            continue;
        }
        let title = title(key);
        match value {
            Value::Object(map) => {
                w.line(level, format!("{title}:"));
                fields(w, level + 1, map, &path);
            }
            Value::Array(items) => {
                w.line(level, format!("{title}:"));
                for item in items {
                    match item {
                        Value::Object(map) => fields(w, level + 1, map, &path),
                        other => w.line(level + 1, json::go(other)),
                    }
                }
            }
            other => w.field(level, &title, json::go(other)),
        }
    }
}

/// `creationTimestamp` as `Creation Timestamp`; a key that is no word stays as it is.
fn title(key: &str) -> String {
    if !key.chars().all(|c| c.is_alphabetic() || c == '-') {
        return key.to_owned();
    }
    let words = words(key).into_iter().map(|word| {
        let upper = word.to_uppercase();
        if ACRONYMS.contains(&upper.as_str()) {
            return upper;
        }
        match word == word.to_lowercase() {
            true => capitalised(&word),
            false => word,
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// `podIPs` is `pod` and `IPs`, `HTTPGet` is `HTTP` and `Get`.
fn words(key: &str) -> Vec<String> {
    let class = |c: char| match c {
        c if c.is_lowercase() => 0,
        c if c.is_uppercase() => 1,
        _ => 2,
    };
    let mut words: Vec<String> = Vec::new();
    let mut last = None;
    for character in key.chars() {
        let class = class(character);
        match words.last_mut().filter(|_| last == Some(class)) {
            Some(word) => word.push(character),
            None => words.push(character.to_string()),
        }
        last = Some(class);
    }
    // The last capital of a row begins the word after it.
    for at in 1..words.len() {
        let is_upper = words[at - 1].chars().all(char::is_uppercase);
        let begins = is_upper && words[at].chars().all(char::is_lowercase);
        if let Some(capital) = begins.then(|| words[at - 1].pop()).flatten() {
            words[at].insert(0, capital);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        for (key, shown) in [
            ("apiVersion", "API Version"),
            ("creationTimestamp", "Creation Timestamp"),
            ("kind", "Kind"),
            ("uid", "UID"),
            ("resourceVersion", "Resource Version"),
            ("HTTPGet", "HTTP Get"),
            ("app.kubernetes.io/name", "app.kubernetes.io/name"),
        ] {
            assert_eq!(title(key), shown, "{key}");
        }
    }
}
