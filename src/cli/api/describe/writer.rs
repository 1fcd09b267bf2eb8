//! Lines with a name and a value, indented, in columns.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::print::tabs::Tabs;
use crate::server::Quantity;

pub type Pairs = BTreeMap<String, String>;
pub type Quantities = BTreeMap<String, Written>;

const NONE: &str = "<none>";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// An annotation longer than this begins on a line of its own, and is cut.
const LONG_ANNOTATION: usize = 140;

pub struct Writer {
    tabs: Tabs,
    done: String,
}

impl Writer {
    pub fn new() -> Writer {
        Writer {
            tabs: Tabs::description(),
            done: String::new(),
        }
    }

    /// Text `level` steps in; its tabs end cells.
    pub fn put(&mut self, level: usize, text: impl AsRef<str>) {
        self.tabs.write(&"  ".repeat(level));
        self.tabs.write(text.as_ref());
    }

    pub fn line(&mut self, level: usize, text: impl AsRef<str>) {
        self.put(level, text);
        self.tabs.write("\n");
    }

    /// `name:` and, in the next column, the value.
    pub fn field(&mut self, level: usize, name: &str, value: impl Display) {
        self.line(level, format!("{name}:\t{value}"));
    }

    /// As [`Writer::field`] if there is a value.
    pub fn given(&mut self, level: usize, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.field(level, name, value);
        }
    }

    /// What follows has columns of its own.
    pub fn flush(&mut self) {
        self.done += &self.tabs.flush();
    }

    pub fn finish(mut self) -> String {
        self.flush();
        self.done
    }

    /// With tabs in place of columns.
    pub fn finish_raw(mut self) -> String {
        self.done + &self.tabs.raw()
    }

    /// Name, and namespace if it has one, then labels and annotations.
    pub fn head(&mut self, metadata: &ObjectMeta) {
        self.identity(metadata);
        self.labels_and_annotations(metadata);
    }

    pub fn identity(&mut self, metadata: &ObjectMeta) {
        self.field(0, "Name", metadata.name.text());
        self.field(0, "Namespace", metadata.namespace.text());
    }

    pub fn labels_and_annotations(&mut self, metadata: &ObjectMeta) {
        self.pairs("Labels", metadata.labels.as_ref());
        self.annotations("Annotations", metadata.annotations.as_ref());
    }

    /// `key=value`, one a line.
    pub fn pairs(&mut self, title: &str, pairs: Option<&Pairs>) {
        let pairs = pairs.into_iter().flatten();
        let lines: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
        self.lines(title, &lines);
    }

    /// One below the other, beside the title. A title's own indentation goes on below it.
    pub fn lines(&mut self, title: &str, lines: &[String]) {
        self.put(0, format!("{title}:\t"));
        let (first, rest) = lines
            .split_first()
            .map_or((NONE, lines), |(f, rest)| (f.as_str(), rest));
        self.line(0, first);
        for line in rest {
            self.line(0, format!("\t{line}"));
        }
    }

    pub fn annotations(&mut self, title: &str, annotations: Option<&Pairs>) {
        let mut lines = Vec::new();
        for (key, value) in annotations.into_iter().flatten() {
            if key == LAST_APPLIED {
                continue;
            }
            let value = value.strip_suffix('\n').unwrap_or(value);
            if key.len() + value.len() + 2 <= LONG_ANNOTATION && !value.contains('\n') {
                lines.push(format!("{key}: {value}"));
                continue;
            }
            lines.push(format!("{key}:"));
            lines.extend(value.split('\n').map(|line| format!("  {}", cut(line))));
        }
        self.lines(title, &lines);
    }
}

fn cut(line: &str) -> String {
    let most = LONG_ANNOTATION - 2;
    match line.len() > most {
        true => format!("{}...", &line[..line.floor_char_boundary(most)]),
        false => line.to_owned(),
    }
}

/// What is not set is empty.
pub trait Text {
    fn text(&self) -> &str;
}

impl Text for Option<String> {
    fn text(&self) -> &str {
        self.as_deref().unwrap_or_default()
    }
}

/// The items of a list that may not be set.
pub fn all<T>(list: &Option<Vec<T>>) -> &[T] {
    list.as_deref().unwrap_or_default()
}

pub fn or_none(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

pub fn yes_or_no(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

pub fn int_or_string(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}

/// `a=1,b=2`.
pub fn joined(pairs: Option<&Pairs>) -> String {
    let pairs = pairs.into_iter().flatten();
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
    or_none(&pairs.join(",")).to_owned()
}

/// As one writes it on a command line, in the order of its keys; empty if it says nothing.
pub fn selector(selector: &LabelSelector) -> String {
    let equal = selector.match_labels.iter().flatten();
    let mut parts: Vec<(String, String)> = equal
        .map(|(key, value)| (key.clone(), format!("{key}={value}")))
        .collect();
    for requirement in all(&selector.match_expressions) {
        let key = &requirement.key;
        let mut values = all(&requirement.values).to_vec();
        values.sort();
        let values = values.join(",");
        let text = match requirement.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.clone(),
            _ => format!("!{key}"),
        };
        parts.push((key.clone(), text));
    }
    parts.sort();
    let parts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
    parts.join(",")
}

pub fn selector_or_none(given: Option<&LabelSelector>) -> String {
    let text = given.map(selector).unwrap_or_default();
    or_none(&text).to_owned()
}

/// As Kubernetes writes it, however somebody else did.
pub fn quantity(written: &Written) -> String {
    match Quantity::parse(&written.0) {
        Some(quantity) => quantity.to_string(),
        None => written.0.clone(),
    }
}

/// `Tue, 24 Nov 2026 12:00:00 +0100`, in this machine's time zone.
pub fn date(time: Option<&Time>) -> String {
    moment(time.map(|time| time.0))
}

pub fn moment(time: Option<Timestamp>) -> String {
    match time {
        Some(time) => local(time).strftime("%a, %d %b %Y %H:%M:%S %z").to_string(),
        // Go's zero time.
        None => "Mon, 01 Jan 0001 00:00:00 +0000".to_owned(),
    }
}

pub fn local(time: Timestamp) -> jiff::Zoned {
    time.to_zoned(zone().unwrap_or(TimeZone::UTC))
}

/// By `TZ`, else by /etc/localtime; `None` where neither says.
fn zone() -> Option<TimeZone> {
    let file = match std::env::var("TZ").ok().as_deref() {
        None => "/etc/localtime".to_owned(),
        Some("" | "UTC") => return Some(TimeZone::UTC),
        Some(name) => format!("/usr/share/zoneinfo/{}", name.trim_start_matches(':')),
    };
    TimeZone::tzif(&file, &fs::read(&file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_are_in_the_order_of_their_keys() {
        let given = json!({
            "matchLabels": {"b": "1"},
            "matchExpressions": [
                {"key": "c", "operator": "NotIn", "values": ["y", "x"]},
                {"key": "a", "operator": "DoesNotExist"},
            ],
        });
        let given: LabelSelector = serde_json::from_value(given).expect("a selector");
        assert_eq!(selector(&given), "!a,b=1,c notin (x,y)");
        assert_eq!(selector_or_none(None), "<none>");
    }

    #[test]
    fn long_annotations_are_cut() {
        let mut writer = Writer::new();
        let annotations = Pairs::from([
            ("a".to_owned(), "short".to_owned()),
            ("b".to_owned(), "two\nlines\n".to_owned()),
            ("c".to_owned(), "ä".repeat(100)),
            (LAST_APPLIED.to_owned(), "{}".to_owned()),
        ]);
        writer.annotations("Annotations", Some(&annotations));
        let text = writer.finish();
        let begins = "Annotations:  a: short\n              b:\n                two\n                lines\n";
        assert!(text.starts_with(begins), "{text}");
        assert!(text.ends_with("ä...\n"), "{text}");
    }
}
