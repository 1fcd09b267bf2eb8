//! Objects from files, as kubectl reads them.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use serde_saphyr::Error;

use super::print::name_of;
use super::resource::{Catalog, Resource};
use crate::server::LabelSelector;

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Of each document, node and event of the parser: what a machine's memory holds. Aliases, by which a small file
/// becomes a large one, have the library's own bounds.
const MOST_PARTS: usize = 100_000_000;

#[derive(Debug, Default, clap::Args)]
pub struct FileArg {
    /// A file of objects, YAML or JSON; a directory of them; - for standard input
    #[arg(short, long = "filename", value_name = "FILE", value_delimiter = ',')]
    filename: Vec<PathBuf>,
    /// Directories with all below them
    #[arg(short = 'R', long)]
    recursive: bool,
}

/// One object as somebody wrote it.
#[derive(Debug)]
pub struct Manifest {
    pub object: Value,
    /// Where: a path, or STDIN.
    pub source: String,
}

/// One whose kind the server has, and whose namespace is settled.
pub struct Resolved {
    pub resource: Rc<Resource>,
    pub object: Value,
    pub source: String,
}

impl FileArg {
    pub fn is_given(&self) -> bool {
        !self.filename.is_empty()
    }

    /// Every object, in the order of the command line; a directory's files by name, lists
    /// taken apart.
    pub fn read(&self) -> anyhow::Result<Vec<Manifest>> {
        let mut manifests = Vec::new();
        for path in &self.filename {
            for file in self.files(path)? {
                let (text, source) = match file.as_os_str() == "-" {
                    true => (io::read_to_string(io::stdin()), "STDIN".to_owned()),
                    false => (fs::read_to_string(&file), file.display().to_string()),
                };
                let text = text.with_context(|| format!("cannot read {source}"))?;
                let objects = parse(&text).with_context(|| format!("error parsing {source}"))?;
                manifests.extend(objects.into_iter().map(|object| Manifest {
                    object,
                    source: source.clone(),
                }));
            }
        }
        if manifests.is_empty() && self.is_given() {
            bail!("no objects passed to it");
        }
        Ok(manifests)
    }

    /// What `--raw` sends; nothing without a file.
    pub fn read_raw(&self) -> anyhow::Result<Vec<u8>> {
        if self.recursive {
            bail!("--raw and --recursive are mutually exclusive");
        }
        let mut bytes = Vec::new();
        match &self.filename[..] {
            [] => {}
            [file] if file.as_os_str() == "-" => {
                io::stdin()
                    .read_to_end(&mut bytes)
                    .context("cannot read STDIN")?;
            }
            [file] => {
                bytes =
                    fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            }
            _ => bail!("--raw can only use a single local file or stdin"),
        }
        Ok(bytes)
    }

    fn files(&self, path: &Path) -> anyhow::Result<Vec<PathBuf>> {
        if path.as_os_str() == "-" || path.is_file() {
            return Ok(vec![path.to_owned()]);
        }
        if !path.exists() {
            bail!("the path {:?} does not exist", path.display().to_string());
        }
        if !path.is_dir() {
            return Ok(vec![path.to_owned()]);
        }
        let files = self.below(path)?;
        if files.is_empty() {
            bail!(
                "error reading [{}]: recognized file extensions are [.json .yaml .yml]",
                path.display()
            );
        }
        Ok(files)
    }

    fn below(&self, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let entries =
            fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
        let paths = entries.map(|entry| Ok(entry?.path()));
        let mut paths: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
        paths.sort();
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() && self.recursive {
                files.extend(self.below(&path)?);
            } else if path.is_file() && is_manifest(&path) {
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// Those whose labels a selector matches; without one, all.
pub fn selected(
    manifests: Vec<Manifest>,
    selector: Option<&String>,
) -> anyhow::Result<Vec<Manifest>> {
    let Some(selector) = selector else {
        return Ok(manifests);
    };
    let selector = LabelSelector::parse(selector).map_err(|why| anyhow!("{why}"))?;
    let is_selected = |manifest: &Manifest| {
        let labels = &manifest.object["metadata"]["labels"];
        selector.matches(|key| labels[key].as_str())
    };
    Ok(manifests.into_iter().filter(is_selected).collect())
}

fn is_manifest(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

impl Manifest {
    /// Finds what it is one of, and writes the namespace into it: `asked`, or `default`.
    ///
    /// # Errors
    /// The server has no such kind, or the file and `asked` name different namespaces.
    pub fn resolve(self, catalog: &Catalog, asked: Option<&str>) -> anyhow::Result<Resolved> {
        let Manifest { mut object, source } = self;
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let api_version = text("/apiVersion").unwrap_or_default();
        let kind = text("/kind").unwrap_or_default();
        let own = text("/metadata/namespace").filter(|own| !own.is_empty());
        let resource = catalog.of_kind(api_version, kind).map_err(|error| {
            anyhow!(
                "resource mapping not found for name: {:?} namespace: {:?} from {source:?}: \
                 {error}\nensure CRDs are installed first",
                name_of(&object),
                own.unwrap_or_default(),
            )
        })?;
        if resource.namespaced {
            match (own, asked) {
                (Some(own), Some(asked)) if own != asked => bail!(
                    "the namespace from the provided object {own:?} does not match the namespace \
                     {asked:?}. You must pass '--namespace={own}' to perform this operation."
                ),
                (Some(_), _) => {}
                (None, asked) => {
                    object["metadata"]["namespace"] = asked.unwrap_or("default").into()
                }
            }
        }
        Ok(Resolved {
            resource,
            object,
            source,
        })
    }
}

impl Resolved {
    pub fn name(&self) -> &str {
        name_of(&self.object)
    }

    pub fn collection(&self) -> String {
        let namespace = self.object["metadata"]["namespace"].as_str();
        self.resource.collection(namespace)
    }

    pub fn path(&self) -> String {
        self.resource.path(&self.object)
    }
}

fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = match text.trim_start().starts_with('{') {
        true => serde_json::Deserializer::from_str(text)
            .into_iter()
            .collect::<Result<_, _>>()?,
        false => from_yaml(text)?,
    };
    let mut objects = Vec::new();
    for mut document in documents {
        if document.is_null() {
            continue;
        }
        let kind = document.get("kind").and_then(Value::as_str);
        let is_list = kind.is_some_and(|kind| kind.ends_with("List"));
        match document.get_mut("items") {
            Some(Value::Array(items)) if is_list => objects.append(items),
            _ => objects.push(document),
        }
    }
    for object in &objects {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        if text("/apiVersion").is_none() {
            bail!("error validating data: apiVersion not set");
        }
        let Some(kind) = text("/kind") else {
            bail!("error validating data: kind not set");
        };
        if text("/metadata/name")
            .or(text("/metadata/generateName"))
            .is_none()
        {
            bail!("resource name may not be empty: a {kind} without metadata.name");
        }
    }
    Ok(objects)
}

fn from_yaml(text: &str) -> anyhow::Result<Vec<Value>> {
    let bounds = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: MOST_PARTS,
            max_nodes: MOST_PARTS,
            max_events: MOST_PARTS,
        },
    };
    serde_saphyr::from_multiple_with_options(text, bounds).map_err(|error| {
        match error.without_snippet() {
            Error::DuplicateMappingKey {
                key: Some(key),
                location,
            } => {
                anyhow!("line {}: key {key:?} already set in map", location.line())
            }
            other => anyhow!("{other}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let objects = parse(text).expect("objects");
        objects
            .iter()
            .map(|object| name_of(object).to_owned())
            .collect()
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
            {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"c"}}]}
            {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"d"}}"#;
        assert_eq!(names(json), ["c", "d"]);
        let refused = |text: &str| parse(text).err().map(|error| error.to_string());
        let error = refused("kind: Pod").expect("no apiVersion");
        assert!(error.contains("apiVersion"), "{error}");
        let error = refused("apiVersion: v1\nkind: Pod").expect("no name");
        assert!(error.contains("metadata.name"), "{error}");
    }

    #[test]
    fn a_file_of_many_objects_is_read_and_a_small_one_that_unfolds_is_not() {
        let one = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {a: b}, annotations: {c: d}}\n";
        assert_eq!(names(&one.repeat(20_000)).len(), 20_000);
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let below = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{below}]\n");
        }
        let error = parse(&bomb).expect_err("too large").to_string();
        assert!(
            error.contains("budget breached: RecordedAnchorEvents"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let error = |text: &str| parse(text).expect_err(text).to_string();
        let twice = "kind: Pod\n---\nkind: Pod\nmetadata:\n  name: a\n  name: b\n";
        assert_eq!(error(twice), "line 6: key \"name\" already set in map");
        assert_eq!(
            error("kind: [a\n"),
            "unclosed bracket '[' at line 1, column 7"
        );
    }
}
