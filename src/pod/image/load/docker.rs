//! What `docker save` writes: manifest.json names the images, their configurations and layers.
//! Older ones have a directory per layer, newer ones an OCI layout beside it.

use std::path::{Path, PathBuf};

use oci_spec::image::ImageConfiguration;
use serde::Deserialize;

use super::super::tree::Tree;
use super::{Described, LoadError, damaged, digest, document};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    config: PathBuf,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<PathBuf>,
}

pub fn describe(tree: &Tree, manifest: &[u8]) -> Result<Vec<Described>, LoadError> {
    let manifests: Vec<Manifest> =
        serde_json::from_slice(manifest).map_err(|error| damaged("manifest.json", error))?;
    manifests
        .into_iter()
        .map(|manifest| image(tree, manifest))
        .collect()
}

fn image(tree: &Tree, manifest: Manifest) -> Result<Described, LoadError> {
    let what = manifest.config.display().to_string();
    let bytes =
        document(tree, &manifest.config)?.ok_or_else(|| damaged(&what, "it is not there"))?;
    let id = digest::hex(&bytes);
    // Its file is named after its digest.
    match named_digest(&manifest.config) {
        Some(wanted) if wanted != id => Err(LoadError::Digest {
            what,
            wanted,
            found: id,
        }),
        _ => Ok(Described {
            names: manifest.repo_tags.unwrap_or_default(),
            config: ImageConfiguration::from_reader(&bytes[..])
                .map_err(|error| damaged(&what, error))?,
            id: format!("sha256:{id}"),
            layers: manifest.layers,
        }),
    }
}

fn named_digest(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".json").unwrap_or(name);
    let is_digest = stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| stem.to_owned())
}
