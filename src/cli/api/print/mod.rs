//! How objects are printed: kubectl's `-o`, to the byte.

pub mod columns;
pub mod json;
pub mod jsonpath;
pub mod table;
pub mod tabs;
pub mod yaml;

use std::str::FromStr;

use serde_json::{Value, json};

use super::resource::{Object, Resource};
use columns::Columns;
use jsonpath::Template;

#[derive(Clone, Debug)]
pub enum Output {
    Wide,
    Name,
    Structured(Structured),
}

/// What needs whole objects and nothing of where they came from.
#[derive(Clone, Debug)]
pub enum Structured {
    Json,
    Yaml,
    JsonPath(Template),
    JsonPathAsJson(Template),
    Columns(Columns),
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Output, String> {
        let (kind, rest) = text.split_once('=').unwrap_or((text, ""));
        Ok(match (kind, rest.is_empty()) {
            ("wide", true) => Output::Wide,
            ("name", true) => Output::Name,
            ("json", true) => Output::Structured(Structured::Json),
            ("yaml", true) => Output::Structured(Structured::Yaml),
            ("jsonpath", false) => Output::Structured(Structured::JsonPath(rest.parse()?)),
            ("jsonpath-as-json", false) => {
                Output::Structured(Structured::JsonPathAsJson(rest.parse()?))
            }
            ("custom-columns", false) => Output::Structured(Structured::Columns(rest.parse()?)),
            _ => {
                return Err("it is none of wide, name, json, yaml, jsonpath=TEMPLATE, \
                     jsonpath-as-json=TEMPLATE, custom-columns=SPEC"
                    .to_owned());
            }
        })
    }
}

/// How a verb that changes objects says what it did.
#[derive(Debug, clap::Args)]
pub struct SayArg {
    /// Print the object instead: json, yaml, name, jsonpath=TEMPLATE, custom-columns=SPEC
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Output>,
    /// Objects as they are printed, with who owns which field
    #[arg(long)]
    show_managed_fields: bool,
}

impl SayArg {
    pub fn output(&self) -> Option<&Output> {
        self.output.as_ref()
    }

    /// A voice for one command.
    pub fn voice(&self) -> Voice<'_> {
        Voice {
            arg: self,
            printed: 0,
        }
    }
}

pub struct Voice<'a> {
    arg: &'a SayArg,
    printed: usize,
}

impl Voice<'_> {
    /// `pod/web created`, or the object if that was asked for. `done` is a participle, with what
    /// follows it.
    pub fn say(&mut self, resource: &Resource, object: &Value, done: &str) -> anyhow::Result<()> {
        self.say_as(&resource.slashed(name_of(object)), object, done)
    }

    /// As [`Voice::say`], of what is called `name`: `pod/web`.
    pub fn say_as(&mut self, name: &str, object: &Value, done: &str) -> anyhow::Result<()> {
        match &self.arg.output {
            None | Some(Output::Wide) => println!("{name} {done}"),
            Some(Output::Name) => println!("{name}"),
            Some(Output::Structured(form)) => {
                if matches!(form, Structured::Yaml) && self.printed > 0 {
                    println!("---");
                }
                let text = form.shown(
                    object.clone(),
                    self.arg.show_managed_fields,
                    self.printed == 0,
                );
                print!("{}", text?);
            }
        }
        self.printed += 1;
        Ok(())
    }
}

impl Structured {
    /// As [`Structured::render`]; whole objects without who owns which field, unless that is asked
    /// for: it is for programs.
    pub fn shown(
        &self,
        mut object: Value,
        with_owners: bool,
        with_headers: bool,
    ) -> anyhow::Result<String> {
        if !with_owners && matches!(self, Structured::Json | Structured::Yaml) {
            hide_field_owners(&mut object);
        }
        self.render(&object, with_headers)
    }

    /// The text of an object, or of a list; a table of columns `with_headers` or without.
    fn render(&self, object: &Value, with_headers: bool) -> anyhow::Result<String> {
        Ok(match self {
            Structured::Json => json::pretty(object) + "\n",
            Structured::Yaml => yaml::render(object),
            Structured::JsonPath(template) => template.render(object)?,
            Structured::JsonPathAsJson(template) => template.render_as_json(object)? + "\n",
            Structured::Columns(columns) => columns.render(object, with_headers)?,
        })
    }
}

/// Several objects as one, as kubectl puts them together.
pub fn list_of(objects: Vec<Object>) -> Value {
    let items: Vec<Value> = objects.into_iter().map(|object| object.value).collect();
    json!({
        "apiVersion": "v1", "items": items, "kind": "List",
        "metadata": {"resourceVersion": ""},
    })
}

fn hide_field_owners(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    if let Some(Value::Array(items)) = object.get_mut("items") {
        items.iter_mut().for_each(hide_field_owners);
    }
}

pub fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
