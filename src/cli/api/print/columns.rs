//! `-o custom-columns=NAME:.metadata.name,…`.

use std::str::FromStr;

use serde_json::Value;

use super::json;
use super::jsonpath::Template;
use super::tabs::Tabs;

#[derive(Clone, Debug)]
pub struct Columns(Vec<(String, Template)>);

impl FromStr for Columns {
    type Err = String;

    fn from_str(spec: &str) -> Result<Columns, String> {
        let column = |part: &str| match part.split_once(':') {
            Some((header, path)) if !header.is_empty() && !path.is_empty() => {
                Ok((header.to_owned(), Template::relaxed(path)?))
            }
            _ => Err(format!("{part:?} is not HEADER:PATH")),
        };
        spec.split(',')
            .map(column)
            .collect::<Result<_, _>>()
            .map(Columns)
    }
}

impl Columns {
    /// One line for an object, or for each of a list.
    pub fn render(&self, object: &Value, with_headers: bool) -> anyhow::Result<String> {
        let mut tabs = Tabs::table();
        if with_headers {
            let headers: Vec<&String> = self.0.iter().map(|(header, _)| header).collect();
            tabs.line(&headers);
        }
        let single = std::slice::from_ref(object);
        for item in object["items"].as_array().map_or(single, Vec::as_slice) {
            let mut cells = Vec::new();
            for (_, path) in &self.0 {
                let found = path.values(item)?;
                let shown: Vec<String> = found.into_iter().map(json::go).collect();
                cells.push(match shown.is_empty() {
                    true => "<none>".to_owned(),
                    false => shown.join(","),
                });
            }
            tabs.line(&cells);
        }
        Ok(tabs.flush())
    }
}
