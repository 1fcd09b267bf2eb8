//! A server-side table, as kubectl prints it.

use serde::Deserialize;
use serde_json::Value;

/// `meta.k8s.io/v1` Table, as far as it is printed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    pub column_definitions: Vec<Column>,
    #[serde(default)]
    pub rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
pub struct Column {
    name: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Debug, Deserialize)]
pub struct Row {
    cells: Vec<Value>,
    #[serde(default)]
    object: Value,
}

impl Table {
    /// Columns padded and three blanks apart; those of a priority above 0 only
    /// when `wide`; a NAMESPACE column first when asked for.
    pub fn render(&self, wide: bool, with_namespace: bool) -> String {
        let shown: Vec<usize> = (0..self.column_definitions.len())
            .filter(|i| wide || self.column_definitions[*i].priority == 0)
            .collect();
        let mut lines = vec![Vec::new()];
        if with_namespace {
            lines[0].push("NAMESPACE".to_owned());
        }
        lines[0].extend(
            shown
                .iter()
                .map(|i| self.column_definitions[*i].name.to_uppercase()),
        );
        for row in &self.rows {
            let mut line = Vec::new();
            if with_namespace {
                let namespace = &row.object["metadata"]["namespace"];
                line.push(namespace.as_str().unwrap_or_default().to_owned());
            }
            line.extend(
                shown
                    .iter()
                    .map(|i| row.cells.get(*i).map(cell).unwrap_or_default()),
            );
            lines.push(line);
        }
        align(&lines)
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| {
        lines
            .iter()
            .filter_map(|l| l.get(i))
            .map(|c| c.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|i| width(i).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("   ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_like_kubectls() {
        let table: Table = serde_json::from_value(serde_json::json!({
            "columnDefinitions": [{"name": "Name"}, {"name": "Ready"}, {"name": "IP", "priority": 1}],
            "rows": [
                {"cells": ["web", "1/1", "10.244.0.2"], "object": {"metadata": {"namespace": "default"}}},
                {"cells": ["longer-name", "0/1", null]},
            ],
        }))
        .expect("a table");
        assert_eq!(
            table.render(false, false),
            "NAME          READY\nweb           1/1\nlonger-name   0/1\n"
        );
        assert!(
            table
                .render(true, true)
                .starts_with("NAMESPACE   NAME          READY   IP\ndefault     web")
        );
    }
}
