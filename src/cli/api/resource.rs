//! The resources that a server has, by every name people have for them.

use std::fmt::Write;
use std::rc::Rc;

use anyhow::bail;
use futures::future::try_join_all;
use kube::Client;
use serde_json::Value;

use super::http;

#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

/// An object, and what it is one of.
#[derive(Clone, Debug)]
pub struct Object {
    pub resource: Rc<Resource>,
    pub value: Value,
}

impl Object {
    pub fn name(&self) -> &str {
        super::print::name_of(&self.value)
    }

    pub fn path(&self) -> String {
        self.resource.path(&self.value)
    }

    /// `pod/web`.
    pub fn slashed(&self) -> String {
        self.resource.slashed(self.name())
    }
}

/// `scale.autoscaling/web`, by what it says itself.
pub fn own_name(object: &Value) -> String {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let kind = text("kind").to_lowercase();
    let name = super::print::name_of(object);
    match text("apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

impl Resource {
    fn of(group_version: &str, entry: &Value) -> Resource {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let texts = |key: &str| {
            let items = entry[key].as_array().map_or(&[][..], Vec::as_slice);
            items
                .iter()
                .filter_map(|item| Some(item.as_str()?.to_owned()))
                .collect()
        };
        let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
        Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: text("kind"),
            plural: text("name"),
            singular: text("singularName"),
            short_names: texts("shortNames"),
            categories: texts("categories"),
            namespaced: entry["namespaced"] == true,
            verbs: texts("verbs"),
        }
    }

    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `pod`, `deployment.apps`: how messages name what an object is.
    pub fn qualified(&self) -> String {
        let kind = self.kind.to_lowercase();
        match self.group.as_str() {
            "" => kind,
            group => format!("{kind}.{group}"),
        }
    }

    /// `pod/web`, `deployment.apps/web`.
    pub fn slashed(&self, name: &str) -> String {
        format!("{}/{name}", self.qualified())
    }

    /// The path of the collection; `None` for all namespaces.
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let base = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        match namespace {
            Some(namespace) if self.namespaced => {
                format!("{base}/namespaces/{}/{}", escape(namespace), self.plural)
            }
            _ => format!("{base}/{}", self.plural),
        }
    }

    pub fn named(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.collection(Some(namespace)), escape(name))
    }

    /// Where an object is.
    pub fn path(&self, object: &Value) -> String {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        self.named(namespace, super::print::name_of(object))
    }

    /// `name` may carry a group, or a version and a group.
    fn is_called(&self, name: &str) -> bool {
        let (name, suffix) = name.split_once('.').unwrap_or((name, ""));
        let name = name.to_lowercase();
        let versioned = format!("{}.{}", self.version, self.group);
        let of_group = suffix.is_empty()
            || suffix == self.group
            || suffix == versioned.trim_end_matches('.')
            || self.group.starts_with(&format!("{suffix}."));
        of_group
            && (name == self.plural
                || name == self.singular
                || name == self.kind.to_lowercase()
                || self.short_names.contains(&name))
    }
}

/// Everything a server serves, in its own order.
pub struct Catalog(Vec<Rc<Resource>>);

impl Catalog {
    pub async fn discover(client: &Client) -> anyhow::Result<Catalog> {
        let groups = http::get(client, "/apis").await?;
        let groups = groups["groups"].as_array().map_or(&[][..], Vec::as_slice);
        let preferred = |group: &Value| {
            let version = group["preferredVersion"]["groupVersion"].as_str()?;
            Some(format!("/apis/{version}"))
        };
        let mut paths = vec!["/api/v1".to_owned()];
        paths.extend(groups.iter().filter_map(preferred));
        let lists = try_join_all(paths.iter().map(|path| http::get(client, path))).await?;
        let mut resources = Vec::new();
        for list in lists {
            let version = list["groupVersion"].as_str().unwrap_or_default();
            for entry in list["resources"].as_array().into_iter().flatten() {
                let resource = Resource::of(version, entry);
                // A subresource is reached through its resource.
                if !resource.plural.contains('/') {
                    resources.push(Rc::new(resource));
                }
            }
        }
        Ok(Catalog(resources))
    }

    pub fn all(&self) -> &[Rc<Resource>] {
        &self.0
    }

    /// # Errors
    /// There is none of the name.
    pub fn named(&self, name: &str) -> anyhow::Result<Rc<Resource>> {
        let mut found = self.0.iter().filter(|resource| resource.is_called(name));
        let Some(first) = found.next() else {
            bail!("the server doesn't have a resource type {name:?}");
        };
        let is_short = |one: &Rc<Resource>| one.short_names.iter().any(|short| short == name);
        for other in found.filter(|other| is_short(first) && is_short(other)) {
            eprintln!(
                "Warning: short name {name:?} could also match lower priority resource {}.{}",
                other.plural, other.group
            );
        }
        Ok(Rc::clone(first))
    }

    /// The resources that `name` stands for: one, or all of a category.
    pub fn expand(&self, name: &str) -> anyhow::Result<Vec<Rc<Resource>>> {
        let belongs = |resource: &&Rc<Resource>| resource.categories.iter().any(|c| c == name);
        let of_category: Vec<_> = self.0.iter().filter(belongs).cloned().collect();
        match of_category.is_empty() {
            true => Ok(vec![self.named(name)?]),
            false => Ok(of_category),
        }
    }

    /// # Errors
    /// There is no such kind, in these words: `no matches for kind …`.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> anyhow::Result<Rc<Resource>> {
        let is_it = |r: &&Rc<Resource>| r.kind == kind && r.api_version() == api_version;
        match self.0.iter().find(is_it) {
            Some(resource) => Ok(Rc::clone(resource)),
            None => bail!("no matches for kind {kind:?} in version {api_version:?}"),
        }
    }

    /// What words on a command line name: `pods`, `pods,nodes`, `pods a b`, `pod/a node/b`, `all`.
    pub fn parse(&self, words: &[String]) -> anyhow::Result<Named> {
        let Some((first, names)) = words.split_first() else {
            bail!("you must provide one or more resources by argument or filename");
        };
        if words.iter().any(|word| word.contains('/')) {
            let mut objects = Vec::new();
            for word in words {
                match word.split_once('/') {
                    Some((kind, name)) if kind.is_empty() || name.is_empty() => bail!(
                        "arguments in resource/name form must have a single resource and name"
                    ),
                    Some((_, name)) if name.contains('/') => {
                        bail!("arguments in resource/name form may not have more than one slash")
                    }
                    Some((kind, name)) => {
                        check_name(name)?;
                        objects.push((self.named(kind)?, name.to_owned()));
                    }
                    None => bail!(
                        "there is no need to specify a resource type as a separate argument when \
                         passing arguments in resource/name form (e.g. 'podnet get \
                         resource/<resource_name>' instead of 'podnet get resource \
                         resource/<resource_name>'"
                    ),
                }
            }
            return Ok(Named::Objects(objects));
        }
        let mut resources: Vec<Rc<Resource>> = Vec::new();
        for name in first.split(',').filter(|name| !name.is_empty()) {
            for resource in self.expand(name)? {
                if !resources.contains(&resource) {
                    resources.push(resource);
                }
            }
        }
        if names.is_empty() {
            return Ok(Named::Kinds(resources));
        }
        names.iter().try_for_each(|name| check_name(name))?;
        let pair = |resource: &Rc<Resource>| {
            let pair = |name: &String| (Rc::clone(resource), name.clone());
            names.iter().map(pair).collect::<Vec<_>>()
        };
        Ok(Named::Objects(resources.iter().flat_map(pair).collect()))
    }
}

/// An empty name would stand for all there are, in the URL of one (`IsValidPathSegmentName` of
/// apimachinery's `api/validation/path`).
pub fn check_name(name: &str) -> anyhow::Result<()> {
    let problem = match name {
        "" => bail!("resource name may not be empty"),
        "." | ".." => format!("may not be '{name}'"),
        name if name.contains('%') => "may not contain '%'".to_owned(),
        _ => return Ok(()),
    };
    bail!("invalid resource name {name:?}: [{problem}]")
}

pub enum Named {
    Kinds(Vec<Rc<Resource>>),
    Objects(Vec<(Rc<Resource>, String)>),
}

/// A name or selector as part of a URL: everything but unreserved characters
/// as %XX (RFC 3986 §2).
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => {
                // A string takes all that is written to it.
                let _ = write!(escaped, "%{other:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn catalog() -> Catalog {
        let entry = |version: &str, entry: Value| Rc::new(Resource::of(version, &entry));
        Catalog(vec![
            entry(
                "v1",
                json!({"name": "pods", "singularName": "pod", "kind": "Pod",
                "shortNames": ["po"], "categories": ["all"], "namespaced": true, "verbs": ["get"]}),
            ),
            entry(
                "v1",
                json!({"name": "nodes", "singularName": "node", "kind": "Node", "shortNames": ["no"]}),
            ),
            entry(
                "apps/v1",
                json!({"name": "deployments", "singularName": "deployment",
                "kind": "Deployment", "categories": ["all"], "namespaced": true}),
            ),
        ])
    }

    fn objects(words: &str) -> anyhow::Result<Vec<String>> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        Ok(match catalog().parse(&words)? {
            Named::Kinds(kinds) => kinds.iter().map(|kind| kind.qualified()).collect(),
            Named::Objects(objects) => objects.iter().map(|(kind, n)| kind.slashed(n)).collect(),
        })
    }

    #[test]
    fn all_ways_of_naming() {
        for (words, named) in [
            ("po", vec!["pod"]),
            ("Pod,no,pods", vec!["pod", "node"]),
            ("all", vec!["pod", "deployment.apps"]),
            ("pods a b", vec!["pod/a", "pod/b"]),
            (
                "pod/a deployment.apps/b",
                vec!["pod/a", "deployment.apps/b"],
            ),
            ("deployments.v1.apps x", vec!["deployment.apps/x"]),
        ] {
            assert_eq!(objects(words).expect(words), named, "{words}");
        }
        let error = objects("gizmos").unwrap_err().to_string();
        assert_eq!(error, "the server doesn't have a resource type \"gizmos\"");
        assert!(objects("pod pod/a").is_err());
        for (words, error) in [
            ("pods ", "resource name may not be empty"),
            ("pods a ", "resource name may not be empty"),
            ("pods ..", "invalid resource name \"..\": [may not be '..']"),
            (
                "pods a%2F",
                "invalid resource name \"a%2F\": [may not contain '%']",
            ),
            (
                "pod/",
                "arguments in resource/name form must have a single resource and name",
            ),
            (
                "pod/a/b",
                "arguments in resource/name form may not have more than one slash",
            ),
        ] {
            assert_eq!(objects(words).unwrap_err().to_string(), error, "{words}");
        }
    }

    #[test]
    fn selectors_survive_a_url() {
        assert_eq!(escape("env in (a, b)"), "env%20in%20%28a%2C%20b%29");
        let pods = catalog().named("pods").expect("pods");
        assert_eq!(pods.named("x/y", "a"), "/api/v1/namespaces/x%2Fy/pods/a");
    }
}
