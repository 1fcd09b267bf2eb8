//! kubectl's JSONPath: templates of text and `{…}`, which RFC 9535 does not have
//! (<https://kubernetes.io/docs/reference/kubectl/jsonpath/>).
//!
//! `{.a.b[0]['c'][*]..d}`, slices, unions, filters `[?(@.x=="y")]`, `{range …}…{end}` and
//! `{"text"}`. What is not there prints nothing.

mod eval;
mod parse;

use std::str::FromStr;

use anyhow::anyhow;
use serde_json::Value;

use super::json;

#[derive(Clone, Debug)]
pub struct Template {
    source: String,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Values(Path),
    Range(Path, Vec<Node>),
}

type Path = Vec<Step>;

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    All,
    /// The value and all below it that has something below it.
    Descend,
    /// From, before and step, each as written; what is missing is the edge.
    Slice(Option<i64>, Option<i64>, Option<i64>),
    Index(i64),
    Union(Vec<Path>),
    /// The elements for which this holds; without a comparison, those that have it.
    Filter(Path, Option<(Comparison, Operand)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Path),
    Literal(Value),
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Template, String> {
        let nodes = parse::template(text).map_err(|e| format!("in JSONPath {text:?}: {e}"))?;
        Ok(Template {
            source: text.to_owned(),
            nodes,
        })
    }
}

impl Template {
    /// A path that may lack its braces and first dot, as columns, sorting and waiting take it.
    pub fn relaxed(text: &str) -> Result<Template, String> {
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let inner = inner.unwrap_or(text);
        let inner = inner.strip_prefix('.').unwrap_or(inner);
        if inner.is_empty() || inner.contains(['{', '}']) {
            return Err(format!("{text:?} is no path, such as .metadata.name"));
        }
        format!("{{.{inner}}}").parse()
    }

    /// As it was written, or completed.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What a template prints of a value.
    ///
    /// # Errors
    /// An index is out of bounds, or values cannot be compared.
    pub fn render(&self, value: &Value) -> anyhow::Result<String> {
        let mut text = String::new();
        for found in self.find(value)? {
            match found {
                eval::Found::Text(literal) => text.push_str(literal),
                eval::Found::Values(values) => {
                    let shown: Vec<String> = values.into_iter().map(shown).collect();
                    text.push_str(&shown.join(" "));
                }
            }
        }
        Ok(text)
    }

    pub fn render_as_json(&self, value: &Value) -> anyhow::Result<String> {
        let values: Vec<Value> = self.values(value)?.into_iter().cloned().collect();
        Ok(json::pretty(&Value::Array(values)))
    }

    /// All that its paths find.
    pub fn values<'a>(&'a self, value: &'a Value) -> anyhow::Result<Vec<&'a Value>> {
        let found = self.find(value)?.into_iter();
        Ok(found
            .flat_map(|found| match found {
                eval::Found::Values(values) => values,
                eval::Found::Text(_) => Vec::new(),
            })
            .collect())
    }

    fn find<'a>(&'a self, value: &'a Value) -> anyhow::Result<Vec<eval::Found<'a>>> {
        let mut found = Vec::new();
        match eval::run(&self.nodes, value, &mut found) {
            Ok(()) => Ok(found),
            Err(error) => Err(anyhow!("executing jsonpath {:?}: {error}", self.source)),
        }
    }
}

/// A text as it is, all else as JSON.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => json::compact(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn list() -> Value {
        json!({"items": [
            {"name": "a", "n": 1, "tags": ["x", "y", "z"], "labels": {"k8s.io/app": "one"}},
            {"name": "b", "n": 20, "ready": true, "tags": []},
        ]})
    }

    #[test]
    fn what_kubectl_understands() {
        for (template, printed) in [
            ("{.items[*].name}", "a b"),
            ("{.items[0]['name','n']}", "a 1"),
            (
                "{range .items[*]}{.name}={.n}{\"\\n\"}{end}done",
                "a=1\nb=20\ndone",
            ),
            ("{.items[?(@.name==\"b\")].n}", "20"),
            ("{.items[?(@.n > 5)].name}", "b"),
            ("{.items[?(@.ready)].name}", "b"),
            ("{.items[?(@.ready==true)].name}", "b"),
            ("{..name}", "a b"),
            ("{.items[0].tags[-1]}{','}{.items[0].tags[0:2]}", "z,x y"),
            ("{.items[0].tags[::2]}", "x z"),
            ("{.items[0].labels.k8s\\.io/app}", "one"),
            ("{.items[0].labels['k8s\\.io/app']}", "one"),
            ("{.items[0].labels}", r#"{"k8s.io/app":"one"}"#),
            ("{.missing.at.all}", ""),
            ("plain {.items[1].tags}", "plain []"),
            ("{@.items[0].name}{$.items[1].name}", "ab"),
            ("{range .none[*]}{.x}{end}", ""),
        ] {
            let parsed: Template = template.parse().expect(template);
            assert_eq!(
                parsed.render(&list()).expect(template),
                printed,
                "{template}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for template in [
            "{.a",
            "{.a[}",
            "{range .a}",
            "{.a[?(@.b]}",
            "{end}",
            "{nothing}",
        ] {
            assert!(template.parse::<Template>().is_err(), "{template}");
        }
        let out: Template = "{.items[7]}".parse().expect("a template");
        let error = out.render(&list()).unwrap_err().to_string();
        assert!(error.contains("index 7, length 2"), "{error}");
        assert!(Template::relaxed("{.a}{.b}").is_err());
        let relaxed = Template::relaxed("items[1].name").expect("a path");
        assert_eq!(relaxed.render(&list()).expect("a name"), "b");
    }

    proptest! {
        #[test]
        fn no_template_panics(template in "[{}.\\[\\]*?()@$'\":,a-z0-9=<>! \\\\-]{0,24}") {
            if let Ok(template) = template.parse::<Template>() {
                let _ = template.render(&list());
            }
        }
    }
}
