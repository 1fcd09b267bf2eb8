//! OCI image layouts (image-spec, image-layout.md): index.json leads to manifests, and they
//! to configurations and layers, each under the digest of what it is.

use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};

use super::super::tree::Tree;
use super::{Described, LoadError, damaged, digest, document};
use crate::model::architecture;

/// What carries a name, the whole one first.
const NAMES: [&str; 2] = [
    "io.containerd.image.name",
    "org.opencontainers.image.ref.name",
];
/// Indexes in indexes; deeper ones are no image's.
const DEPTH: usize = 4;

pub fn describe(tree: &Tree, index: &[u8]) -> Result<Vec<Described>, LoadError> {
    let index = ImageIndex::from_reader(index).map_err(|error| damaged("index.json", error))?;
    let mut images: Vec<Described> = Vec::new();
    for descriptor in index.manifests() {
        let Some(manifest) = manifest(tree, descriptor, DEPTH)? else {
            continue;
        };
        let image = image(tree, &manifest, name(descriptor))?;
        match images.iter_mut().find(|known| known.id == image.id) {
            Some(known) => known.names.extend(image.names),
            None => images.push(image),
        }
    }
    match images.is_empty() {
        true => Err(LoadError::Platform {
            found: "other platforms".to_owned(),
        }),
        false => Ok(images),
    }
}

/// A tag alone, as some tools write, says too little.
fn name(descriptor: &Descriptor) -> Option<String> {
    let annotations = descriptor.annotations().as_ref()?;
    let names = NAMES.iter().filter_map(|name| annotations.get(*name));
    names
        .into_iter()
        .find(|name| name.contains(['/', ':']))
        .cloned()
}

/// The manifest for this machine; `None` if there is none, as for attestations.
fn manifest(
    tree: &Tree,
    descriptor: &Descriptor,
    depth: usize,
) -> Result<Option<ImageManifest>, LoadError> {
    if let Some(platform) = descriptor.platform() {
        let (os, architecture_) = (
            platform.os().to_string(),
            platform.architecture().to_string(),
        );
        if os != "linux" || architecture_ != architecture() {
            return Ok(None);
        }
    }
    let bytes = || blob(tree, descriptor);
    let what = descriptor.digest().to_string();
    if is_manifest(descriptor.media_type()) {
        let manifest = ImageManifest::from_reader(&bytes()?[..]);
        return manifest.map(Some).map_err(|error| damaged(&what, error));
    }
    if !is_index(descriptor.media_type()) || depth == 0 {
        return Ok(None);
    }
    let index = ImageIndex::from_reader(&bytes()?[..]).map_err(|error| damaged(&what, error))?;
    for inner in index.manifests() {
        if let Some(found) = manifest(tree, inner, depth - 1)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn is_manifest(kind: &MediaType) -> bool {
    *kind == MediaType::ImageManifest
        || kind.to_string() == "application/vnd.docker.distribution.manifest.v2+json"
}

fn is_index(kind: &MediaType) -> bool {
    *kind == MediaType::ImageIndex
        || kind.to_string() == "application/vnd.docker.distribution.manifest.list.v2+json"
}

fn image(
    tree: &Tree,
    manifest: &ImageManifest,
    name: Option<String>,
) -> Result<Described, LoadError> {
    let id = manifest.config().digest().to_string();
    let bytes = blob(tree, manifest.config())?;
    let config =
        ImageConfiguration::from_reader(&bytes[..]).map_err(|error| damaged(&id, error))?;
    let layers: Vec<PathBuf> = manifest
        .layers()
        .iter()
        .map(path)
        .collect::<Result<_, _>>()?;
    Ok(Described {
        names: name.into_iter().collect(),
        config,
        id,
        layers,
    })
}

/// A small blob, checked.
fn blob(tree: &Tree, descriptor: &Descriptor) -> Result<Vec<u8>, LoadError> {
    let what = descriptor.digest().to_string();
    let bytes =
        document(tree, &path(descriptor)?)?.ok_or_else(|| damaged(&what, "it is not there"))?;
    let found = format!("sha256:{}", digest::hex(&bytes));
    match found == what {
        true => Ok(bytes),
        false => Err(LoadError::Digest {
            wanted: what.clone(),
            what,
            found,
        }),
    }
}

fn path(descriptor: &Descriptor) -> Result<PathBuf, LoadError> {
    let digest = descriptor.digest().to_string();
    match super::super::reference::is_digest(&digest) {
        true => Ok(Path::new("blobs/sha256").join(digest.trim_start_matches("sha256:"))),
        false => Err(damaged(
            &digest,
            "its digest is of a kind that is not known here; use sha256",
        )),
    }
}
