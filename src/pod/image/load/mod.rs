//! Loading images from files: OCI image layouts and what `docker save` writes, as a
//! directory or a tar archive, whole or compressed.
//!
//! An image becomes one directory with all its layers applied, and not one per layer:
//! overlayfs marks deletions with attributes that not every file system takes and not every user may
//! set. What is broken leaves nothing: all is made in a scratch directory and renamed at the end.

mod digest;
mod docker;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod layer;
mod oci;
mod packed;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::image::ImageConfiguration;
use thiserror::Error;

use super::Reference;
use super::store::{Config, Loaded, Origin, Store, StoreError};
use super::tree::Tree;
use crate::model::architecture;

/// Manifests and configurations are no larger (the OCI distribution specification's limit).
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;

#[derive(Debug, Error)]
pub enum LoadError {
    #[error("cannot open {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error(
        "{} is no image: it has neither index.json (an OCI image layout) nor manifest.json (docker save)",
        path.display()
    )]
    NotAnImage { path: PathBuf },
    #[error("{what} in the image is damaged: {why}")]
    Damaged { what: String, why: String },
    #[error("{what} in the image has digest {found} and not {wanted}: it was changed or cut off")]
    Digest {
        what: String,
        wanted: String,
        found: String,
    },
    #[error("{what} in the image holds {}, which would be written outside of it", path.display())]
    Escapes { what: String, path: PathBuf },
    #[error("cannot unpack {} of {what}", path.display())]
    Unpack {
        what: String,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the image is for {found}, this machine is linux/{}", architecture())]
    Platform { found: String },
    #[error("{} does not name its image; give it a name with --name", path.display())]
    NoName { path: PathBuf },
    #[error("{} holds {count} images; --name can name only one", path.display())]
    ManyImages { path: PathBuf, count: usize },
    #[error("{0:?} is not a name for an image; write [REGISTRY/]NAME[:TAG], in lower case")]
    BadName(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One image of an archive, before anything of it is unpacked.
struct Described {
    names: Vec<String>,
    config: ImageConfiguration,
    /// Of the configuration, with `sha256:`.
    id: String,
    /// Relative to the archive, lowest first; as many as the configuration has digests for.
    layers: Vec<PathBuf>,
}

/// Loads what is in `path` and answers the names it has now. `name` is for an image that has
/// none, or goes instead of the one that it has.
pub fn load(store: &Store, path: &Path, name: Option<&str>) -> Result<Vec<String>, LoadError> {
    let name = name.map(parse_name).transpose()?;
    let scratch = store.scratch()?;
    let opened = |source| LoadError::Open {
        path: path.to_owned(),
        source,
    };
    let origin = Origin::of(path).map_err(opened)?;
    let archive = match fs::metadata(path).map_err(opened)?.is_dir() {
        true => path.to_owned(),
        false => {
            let archive = scratch.path().join("archive");
            fs::create_dir(&archive).map_err(opened)?;
            layer::unpack_archive(path, &archive)?;
            archive
        }
    };
    let tree = Tree::open(&archive).map_err(opened)?;
    let described = match describe(&tree)? {
        Some(described) => described,
        None => {
            return Err(LoadError::NotAnImage {
                path: path.to_owned(),
            });
        }
    };
    if name.is_some() && described.len() != 1 {
        return Err(LoadError::ManyImages {
            path: path.to_owned(),
            count: described.len(),
        });
    }
    let mut named = Vec::new();
    for (number, image) in described.into_iter().enumerate() {
        let names = match &name {
            Some(name) => vec![name.clone()],
            None => image
                .names
                .iter()
                .map(|name| parse_name(name))
                .collect::<Result<_, _>>()?,
        };
        if names.is_empty() {
            return Err(LoadError::NoName {
                path: path.to_owned(),
            });
        }
        let root = scratch.path().join(format!("root-{number}"));
        let size_bytes = unpack(&tree, &image, &root)?;
        let loaded = Loaded {
            root: root_name(&image),
            id: image.id.clone(),
            size_bytes,
            origin: origin.clone(),
            config: Config::from(&image.config),
        };
        named.extend(store.add(&root, names, loaded)?);
    }
    Ok(named)
}

/// With a tag, always.
fn parse_name(name: &str) -> Result<String, LoadError> {
    let bad = || LoadError::BadName(name.to_owned());
    let reference = Reference::parse(name)
        .filter(|name| name.digest.is_none())
        .ok_or_else(bad)?;
    let tag = reference.tag_or_latest().unwrap_or_default();
    Ok(format!("{}:{tag}", reference.name))
}

/// `None`: it is neither of the two. Archives that are both have more names as the
/// latter.
fn describe(tree: &Tree) -> Result<Option<Vec<Described>>, LoadError> {
    if let Some(manifest) = document(tree, Path::new("manifest.json"))? {
        return docker::describe(tree, &manifest).map(Some);
    }
    match document(tree, Path::new("index.json"))? {
        Some(index) => oci::describe(tree, &index).map(Some),
        None => Ok(None),
    }
}

/// A small file of the archive; `None` if it is not there.
fn document(tree: &Tree, path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    let what = || path.display().to_string();
    let file = match tree.read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(damaged(&what(), error)),
    };
    let mut bytes = Vec::new();
    let limited = io::Read::take(file, MAX_DOCUMENT_BYTES + 1);
    io::Read::read_to_end(&mut { limited }, &mut bytes).map_err(|error| damaged(&what(), error))?;
    match bytes.len() as u64 > MAX_DOCUMENT_BYTES {
        true => Err(damaged(&what(), "it is larger than 4 MiB")),
        false => Ok(Some(bytes)),
    }
}

fn damaged(what: &str, why: impl ToString) -> LoadError {
    LoadError::Damaged {
        what: what.to_owned(),
        why: why.to_string(),
    }
}

/// Bytes of all files.
fn unpack(tree: &Tree, image: &Described, root: &Path) -> Result<u64, LoadError> {
    let platform = (
        image.config.os().to_string(),
        image.config.architecture().to_string(),
    );
    if platform != ("linux".to_owned(), architecture().to_owned()) {
        return Err(LoadError::Platform {
            found: format!("{}/{}", platform.0, platform.1),
        });
    }
    let digests = image.config.rootfs().diff_ids();
    if digests.len() != image.layers.len() {
        let why = format!(
            "it has {} layers and digests of {}",
            image.layers.len(),
            digests.len()
        );
        return Err(damaged("the configuration", why));
    }
    fs::create_dir(root).map_err(|source| LoadError::Unpack {
        what: "the image".to_owned(),
        path: PathBuf::from("/"),
        source,
    })?;
    let mut unpacking = layer::Unpacking::new(root)?;
    for (path, digest) in image.layers.iter().zip(digests) {
        unpacking.apply(tree, path, digest)?;
    }
    unpacking.finish()
}

/// The same for the same layers, so that images that have them share one directory.
fn root_name(image: &Described) -> String {
    let all = image.config.rootfs().diff_ids().join("\n");
    digest::hex(all.as_bytes())
}

#[cfg(test)]
mod tests;
