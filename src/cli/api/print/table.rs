//! Tables that the server made, as kubectl prints them.

use serde::Deserialize;
use serde_json::Value;

use super::super::duration::since;
use super::tabs::Tabs;

/// `meta.k8s.io/v1` Table, as far as it is printed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    #[serde(default)]
    pub column_definitions: Option<Vec<Column>>,
    #[serde(default)]
    pub rows: Vec<Row>,
}

impl Table {
    /// One that the server made, or of the names and ages of a list's objects, or of one object.
    pub fn of(mut answer: Value) -> anyhow::Result<Table> {
        if answer["kind"] == "Table" {
            return Ok(serde_json::from_value(answer)?);
        }
        let objects = match answer.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => vec![answer],
        };
        let column = |name: &str, format: &str| Column {
            name: name.to_owned(),
            format: format.to_owned(),
            priority: 0,
        };
        let row = |object: Value| {
            let name = object["metadata"]["name"].clone();
            Row {
                cells: vec![name, age(&object).into()],
                object,
            }
        };
        Ok(Table {
            column_definitions: Some(vec![column("Name", "name"), column("Age", "")]),
            rows: objects.into_iter().map(row).collect(),
        })
    }
}

fn age(object: &Value) -> String {
    let created = object["metadata"]["creationTimestamp"].as_str();
    let created = created.and_then(|time| time.parse().ok());
    created.map_or_else(|| "<unknown>".to_owned(), since)
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Column {
    name: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Debug, Deserialize)]
pub struct Row {
    pub cells: Vec<Value>,
    #[serde(default)]
    pub object: Value,
}

/// What is shown beside the server's columns, and which of those.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    pub wide: bool,
    pub no_headers: bool,
    pub show_labels: bool,
    /// Labels with a column of their own.
    pub label_columns: Vec<String>,
    pub event_column: bool,
}

/// Prints table after table; those of one resource as one.
pub struct Printer {
    extras: Extras,
    with_namespace: bool,
    /// What stands before each name: `pod/`.
    prefix: Option<String>,
    columns: Vec<Column>,
    headers_printed: bool,
    tabs: Tabs,
}

impl Printer {
    pub fn new(extras: Extras, with_namespace: bool, prefix: Option<String>) -> Printer {
        Printer {
            extras,
            with_namespace,
            prefix,
            columns: Vec::new(),
            headers_printed: false,
            tabs: Tabs::table(),
        }
    }

    /// `event` is the one that brought the table, where that has a column.
    pub fn add(&mut self, table: Table, event: &str) {
        // A watch names the columns only once.
        if let Some(columns) = table
            .column_definitions
            .filter(|columns| !columns.is_empty())
        {
            if columns != self.columns {
                self.headers_printed = false;
            }
            self.columns = columns;
        }
        if table.rows.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.headers_printed, true) && !self.extras.no_headers {
            let headers = self.headers();
            self.tabs.line(&headers);
        }
        for row in table.rows {
            let cells = self.cells(&row, event);
            self.tabs.line(&cells);
        }
    }

    /// The text of what was added since the last time.
    pub fn flush(&mut self) -> String {
        self.tabs.flush()
    }

    fn shown(&self) -> impl Iterator<Item = (usize, &Column)> {
        let wide = self.extras.wide;
        let columns = self.columns.iter().enumerate();
        columns.filter(move |(_, column)| wide || column.priority == 0)
    }

    fn headers(&self) -> Vec<String> {
        let mut headers = Vec::new();
        if self.extras.event_column {
            headers.push("EVENT".to_owned());
        }
        if self.with_namespace {
            headers.push("NAMESPACE".to_owned());
        }
        headers.extend(self.shown().map(|(_, column)| column.name.to_uppercase()));
        for label in &self.extras.label_columns {
            let short = label.rsplit('/').next().unwrap_or(label);
            headers.push(short.to_uppercase());
        }
        if self.extras.show_labels {
            headers.push("LABELS".to_owned());
        }
        headers
    }

    fn cells(&self, row: &Row, event: &str) -> Vec<String> {
        let metadata = &row.object["metadata"];
        let mut cells = Vec::new();
        if self.extras.event_column {
            // As wide as the longest of them.
            cells.push(format!("{event:<8}"));
        }
        if self.with_namespace {
            cells.push(
                metadata["namespace"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
        let mut prefix = self.prefix.as_deref();
        for (index, column) in self.shown() {
            let cell = row.cells.get(index).map(cell).unwrap_or_default();
            cells.push(match column.format.as_str() {
                "name" => prefix.take().unwrap_or_default().to_owned() + &cell,
                _ => cell,
            });
        }
        let label = |key: &String| {
            metadata["labels"][key]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        cells.extend(self.extras.label_columns.iter().map(label));
        if self.extras.show_labels {
            cells.push(pairs(&metadata["labels"]));
        }
        cells
    }
}

/// `a=1,b=2`, or `<none>`.
fn pairs(labels: &Value) -> String {
    let labels = labels.as_object().into_iter().flatten();
    let mut pairs: Vec<String> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort();
    match pairs.is_empty() {
        true => "<none>".to_owned(),
        false => pairs.join(","),
    }
}

/// Up to its first line end.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => match text.split_once(['\n', '\r', '\u{c}']) {
            Some((first, _)) => format!("{first}..."),
            None => text.clone(),
        },
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(extras: Extras, with_namespace: bool) -> String {
        let table = serde_json::from_value(json!({
            "columnDefinitions": [
                {"name": "Name", "format": "name"}, {"name": "Ready"},
                {"name": "IP", "priority": 1},
            ],
            "rows": [
                {"cells": ["web", "1/1", "10.244.0.2"],
                 "object": {"metadata": {"namespace": "default", "labels": {"b": "2", "a": "1"}}}},
                {"cells": ["longer-name", "0/1", null], "object": {"metadata": {}}},
            ],
        }));
        let mut printer = Printer::new(extras, with_namespace, Some("pod/".to_owned()));
        printer.add(table.expect("a table"), "ADDED");
        printer.flush()
    }

    #[test]
    fn looks_like_kubectls() {
        assert_eq!(
            printed(Extras::default(), false),
            "NAME              READY\npod/web           1/1\npod/longer-name   0/1\n"
        );
        let extras = Extras {
            wide: true,
            show_labels: true,
            label_columns: vec!["x/a".to_owned(), "b".to_owned()],
            ..Extras::default()
        };
        let text = printed(extras, true);
        let first = "NAMESPACE   NAME              READY   IP           A     B     LABELS\n\
                     default     pod/web           1/1     10.244.0.2         2     a=1,b=2\n";
        assert!(text.starts_with(first), "{text}");
    }
}
