//! Which objects a verb is about: words, files, selectors.

use std::rc::Rc;

use anyhow::bail;
use kube::Client;
use serde_json::Value;

use super::failure::Failures;
use super::http;
use super::manifest::FileArg;
use super::resource::{Catalog, Named, Object, Resource, check_name, escape};

#[derive(Debug, Default, clap::Args)]
pub struct ScopeArg {
    /// [default: default]
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// In every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

impl ScopeArg {
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// The path of a collection here.
    pub fn collection(&self, resource: &Resource) -> String {
        resource.collection(Some(self.namespace()).filter(|_| !self.all_namespaces))
    }
}

#[derive(Debug, Default, clap::Args)]
pub struct SelectorArg {
    /// Only objects with these labels: k=v, k!=v, k, !k, 'k in (a,b)'
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// Only objects with these fields: metadata.name=web, status.phase!=Running
    #[arg(long)]
    pub field_selector: Option<String>,
}

impl SelectorArg {
    pub fn is_given(&self) -> bool {
        self.selector.is_some() || self.field_selector.is_some()
    }

    /// The URL of those in `collection`.
    pub fn apply(&self, collection: &str) -> String {
        let parameters = [
            ("labelSelector", &self.selector),
            ("fieldSelector", &self.field_selector),
        ];
        let given = parameters
            .iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", escape(value.as_ref()?))));
        match given.collect::<Vec<_>>().join("&") {
            none if none.is_empty() => collection.to_owned(),
            query => format!("{collection}?{query}"),
        }
    }
}

/// How much of a list is asked for at a time.
#[derive(Debug, clap::Args)]
pub struct ChunkArg {
    /// Ask for so many objects at a time; 0 is all at once
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    pub chunk_size: i64,
}

/// What chooses objects beside the words that name them.
#[derive(Debug, Default, clap::Args)]
pub struct ChoiceArg {
    #[command(flatten)]
    pub files: FileArg,
    #[command(flatten)]
    pub scope: ScopeArg,
    #[command(flatten)]
    pub selector: SelectorArg,
}

impl ChoiceArg {
    pub fn of<'a>(&'a self, words: &'a [String], all: All) -> Choice<'a> {
        Choice {
            words,
            arg: self,
            all,
        }
    }
}

/// Whether a resource without names stands for all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum All {
    No,
    /// It goes without saying.
    Yes,
    /// The flag says so, and there is to be no name.
    Said,
}

/// What one command line chooses.
pub struct Choice<'a> {
    words: &'a [String],
    arg: &'a ChoiceArg,
    all: All,
}

/// Where objects are found.
pub enum Source {
    /// A list, some of it perhaps.
    List { resource: Rc<Resource>, url: String },
    One {
        resource: Rc<Resource>,
        name: String,
        path: String,
        /// The file that names it, if one does.
        file: Option<String>,
    },
}

impl Choice<'_> {
    /// # Errors
    /// The words contradict one another, or choose nothing.
    pub fn sources(&self, catalog: &Catalog) -> anyhow::Result<Vec<Source>> {
        if !self.arg.files.is_given() {
            return self.named(catalog);
        }
        if !self.words.is_empty() {
            bail!(
                "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
            );
        }
        let mut sources = Vec::new();
        for manifest in self.arg.files.read()? {
            let manifest = manifest.resolve(catalog, self.arg.scope.namespace.as_deref())?;
            check_name(manifest.name())?;
            sources.push(Source::One {
                path: manifest.path(),
                name: manifest.name().to_owned(),
                resource: manifest.resource,
                file: Some(manifest.source),
            });
        }
        Ok(sources)
    }

    fn named(&self, catalog: &Catalog) -> anyhow::Result<Vec<Source>> {
        let ChoiceArg {
            scope, selector, ..
        } = self.arg;
        match catalog.parse(self.words)? {
            Named::Kinds(resources) => {
                if self.all == All::No && !selector.is_given() {
                    bail!("resource(s) were provided, but no name was specified");
                }
                let list = |resource: Rc<Resource>| Source::List {
                    url: selector.apply(&scope.collection(&resource)),
                    resource,
                };
                Ok(resources.into_iter().map(list).collect())
            }
            Named::Objects(objects) => {
                if selector.is_given() || self.all == All::Said {
                    bail!("name cannot be provided when a selector is specified");
                }
                if scope.all_namespaces {
                    bail!("a resource cannot be retrieved by name across all namespaces");
                }
                let one = |(resource, name): (Rc<Resource>, String)| Source::One {
                    path: resource.named(scope.namespace(), &name),
                    resource,
                    name,
                    file: None,
                };
                Ok(objects.into_iter().map(one).collect())
            }
        }
    }

    /// The objects, as far as they are there; `failures` says which are not.
    pub async fn objects(
        &self,
        client: &Client,
        catalog: &Catalog,
        failures: &mut Failures,
    ) -> anyhow::Result<Vec<Object>> {
        let mut objects = Vec::new();
        for source in self.sources(catalog)? {
            if let Some(found) = failures.keep(source.fetch(client).await) {
                objects.extend(found);
            }
        }
        Ok(objects)
    }
}

impl Source {
    pub fn resource(&self) -> &Rc<Resource> {
        match self {
            Source::List { resource, .. } | Source::One { resource, .. } => resource,
        }
    }

    /// A part of an object in place of the object: `status`, `scale`.
    ///
    /// # Errors
    /// It is a list, which has no parts.
    pub fn part(&mut self, name: &str) -> anyhow::Result<()> {
        match self {
            Source::List { .. } => {
                bail!("subresource cannot be used when bulk resources are specified")
            }
            Source::One { path, .. } => *path += &format!("/{}", escape(name)),
        }
        Ok(())
    }

    pub fn url(&self) -> &str {
        match self {
            Source::List { url, .. } => url,
            Source::One { path, .. } => path,
        }
    }

    /// The object or the list, as `accept` and one more parameter ask for it.
    pub async fn answer(
        &self,
        client: &Client,
        accept: &str,
        parameter: &str,
        at_a_time: i64,
    ) -> anyhow::Result<Value> {
        let url = match parameter {
            "" => self.url().to_owned(),
            more => format!("{}{}{more}", self.url(), http::join(self.url())),
        };
        match self {
            Source::List { .. } => http::list(client, &url, accept, at_a_time).await,
            Source::One { .. } => http::get_as(client, &url, accept).await,
        }
    }

    pub async fn fetch(&self, client: &Client) -> anyhow::Result<Vec<Object>> {
        self.fetch_by(client, 0).await
    }

    /// By so many objects at a time; 0 is all at once.
    pub async fn fetch_by(&self, client: &Client, at_a_time: i64) -> anyhow::Result<Vec<Object>> {
        let answer = self.answer(client, http::JSON, "", at_a_time).await?;
        let resource = self.resource();
        Ok(match self {
            Source::List { .. } => taken_apart(resource, answer),
            Source::One { .. } => vec![Object {
                resource: Rc::clone(resource),
                value: answer,
            }],
        })
    }
}

/// The objects of a list, which leaves out what is the same for all.
pub fn taken_apart(resource: &Rc<Resource>, mut list: Value) -> Vec<Object> {
    let items = match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let object = |mut value: Value| {
        if let Value::Object(map) = &mut value {
            map.entry("apiVersion")
                .or_insert_with(|| resource.api_version().into());
            map.entry("kind")
                .or_insert_with(|| resource.kind.clone().into());
        }
        Object {
            resource: Rc::clone(resource),
            value,
        }
    };
    items.into_iter().map(object).collect()
}
