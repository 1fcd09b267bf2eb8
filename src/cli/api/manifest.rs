//! Objects from files, as kubectl reads them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use super::resource::{Resource, escape};

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

#[derive(Debug, clap::Args)]
pub struct FileArg {
    /// A file of objects, YAML or JSON; a directory of them; - for standard input
    #[arg(short, long = "filename", value_name = "FILE")]
    pub filename: Vec<PathBuf>,
}

/// One object as somebody wrote it.
pub struct Manifest {
    pub resource: Resource,
    pub name: String,
    /// As written; `None` leaves it to the command line.
    pub namespace: Option<String>,
    pub object: Value,
}

impl FileArg {
    /// Every object, in the order of the command line; a directory's files by name, lists
    /// taken apart.
    pub fn read(&self) -> anyhow::Result<Vec<Manifest>> {
        let mut manifests = Vec::new();
        for path in &self.filename {
            for file in files(path)? {
                let text = match file.as_os_str() == "-" {
                    true => io::read_to_string(io::stdin()),
                    false => fs::read_to_string(&file),
                };
                let origin = file.display().to_string();
                let text = text.with_context(|| format!("cannot read {origin}"))?;
                let found = parse(&text).with_context(|| origin.clone())?;
                if found.is_empty() {
                    bail!("{origin}: no objects in it");
                }
                manifests.extend(found);
            }
        }
        Ok(manifests)
    }
}

impl Manifest {
    fn new(object: Value) -> anyhow::Result<Manifest> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (Some(api_version), Some(kind)) = (text("/apiVersion"), text("/kind")) else {
            bail!("an object needs apiVersion and kind");
        };
        let resource = Resource::of_kind(api_version, kind)?;
        let name = text("/metadata/name").unwrap_or_default().to_owned();
        if name.is_empty() && text("/metadata/generateName").is_none() {
            bail!("a {kind} without metadata.name");
        }
        Ok(Manifest {
            resource,
            name,
            namespace: text("/metadata/namespace").map(str::to_owned),
            object,
        })
    }

    /// Where it is created.
    ///
    /// # Errors
    /// The file and the command line name different namespaces.
    pub fn collection(&self, asked: Option<&str>) -> anyhow::Result<String> {
        let namespace = match (self.namespace.as_deref(), asked) {
            (Some(own), Some(asked)) if self.resource.namespaced && own != asked => bail!(
                "{}/{} is of namespace {own}, but --namespace is {asked}; leave one out",
                self.resource.singular,
                self.name
            ),
            (Some(own), _) => own,
            (None, asked) => asked.unwrap_or("default"),
        };
        Ok(self.resource.collection(Some(namespace)))
    }

    pub fn path(&self, asked: Option<&str>) -> anyhow::Result<String> {
        Ok(format!(
            "{}/{}",
            self.collection(asked)?,
            escape(&self.name)
        ))
    }
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let is_manifest = |file: &PathBuf| {
        let ending = file.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| ENDINGS.contains(&ending)) && file.is_file()
    };
    let entries = fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    files.retain(is_manifest);
    files.sort();
    if files.is_empty() {
        bail!("{}: no .yaml, .yml or .json file in it", path.display());
    }
    Ok(files)
}

fn parse(text: &str) -> anyhow::Result<Vec<Manifest>> {
    let documents: Vec<Value> = match serde_json::from_str(text) {
        Ok(json) => vec![json],
        Err(_) => serde_saphyr::from_multiple(text)?,
    };
    let mut manifests = Vec::new();
    for mut document in documents {
        let is_list = document.get("kind").and_then(Value::as_str) == Some("List");
        match document.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) if is_list => {
                for item in items {
                    manifests.push(Manifest::new(item)?);
                }
            }
            _ if document.is_null() => {}
            _ => manifests.push(Manifest::new(document)?),
        }
    }
    Ok(manifests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let manifests = parse(text).expect("objects");
        manifests.into_iter().map(|m| m.name).collect()
    }

    #[test]
    fn documents_lists_and_json_are_all_objects() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\n";
        let two = format!(
            "---\n{}---\n{}---\n",
            pod.replace("NAME", "a"),
            pod.replace("NAME", "b")
        );
        assert_eq!(names(&two), ["a", "b"]);
        let json = r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"c"}}]}"#;
        assert_eq!(names(json), ["c"]);
        let refused = |text: &str| parse(text).err().map(|error| error.to_string());
        let error = refused("kind: Pod").expect("no apiVersion");
        assert!(error.contains("apiVersion"), "{error}");
        let error = refused("apiVersion: v1\nkind: Pod").expect("no name");
        assert!(error.contains("metadata.name"), "{error}");
    }

    #[test]
    fn two_namespaces_at_once_are_an_error() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\n";
        let manifest = parse(text).expect("a pod").remove(0);
        assert_eq!(
            manifest.path(None).expect("a path"),
            "/api/v1/namespaces/x/pods/a"
        );
        assert!(manifest.path(Some("y")).is_err());
    }
}
