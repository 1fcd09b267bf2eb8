//! What a lab's pods may have, as its file says it; the same for all nodes.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::{Spec, TopologyError};
use crate::pod::image::Reference;
use crate::pod::{BackOffScale, ImageSource};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSettings {
    /// What runs as an image, by its name.
    pub images: BTreeMap<String, ImageSource>,
    /// Directories of the machine that hostPath volumes may reach.
    pub host_paths: Vec<PathBuf>,
    pub allow_privileged: bool,
    pub back_off_scale: BackOffScale,
}

impl PodSettings {
    pub(super) fn resolve(spec: &Spec) -> Result<PodSettings, TopologyError> {
        let images = spec.images.clone().unwrap_or_default();
        for (name, source) in &images {
            let why = if Reference::parse(name).is_none_or(|name| name.digest.is_some()) {
                "a name is [REGISTRY/]NAME[:TAG], in lower case"
            } else if source.path().is_some_and(|path| !is_plain(path)) {
                "its path must be absolute and without `..`"
            } else {
                continue;
            };
            return Err(TopologyError::Image {
                name: name.clone(),
                why,
            });
        }
        let host_paths = spec.host_paths.clone().unwrap_or_default();
        if let Some(path) = host_paths.iter().find(|path| !is_plain(path)) {
            return Err(TopologyError::HostPath(path.clone()));
        }
        Ok(PodSettings {
            images,
            host_paths,
            allow_privileged: spec.allow_privileged.unwrap_or_default(),
            back_off_scale: spec.restart_back_off_scale.unwrap_or_default(),
        })
    }

    /// As [`super::Lab::conflict`].
    pub(super) fn conflict(&self, wanted: &Spec) -> Option<String> {
        let differs = |asked: Option<bool>| asked == Some(true);
        if differs(wanted.images.as_ref().map(|images| *images != self.images)) {
            return Some(named("images", self.named_images()));
        }
        if differs(
            wanted
                .host_paths
                .as_ref()
                .map(|paths| *paths != self.host_paths),
        ) {
            let paths = self
                .host_paths
                .iter()
                .map(|path| path.display().to_string());
            return Some(named("host paths", paths));
        }
        if differs(
            wanted
                .allow_privileged
                .map(|allow| allow != self.allow_privileged),
        ) {
            let allowed = if self.allow_privileged {
                "allowed"
            } else {
                "refused"
            };
            return Some(format!("privileged containers {allowed}"));
        }
        let scale = self.back_off_scale;
        differs(wanted.restart_back_off_scale.map(|wanted| wanted != scale))
            .then(|| format!("restart back-off scale {scale}"))
    }

    /// As the agent's `--image` takes them.
    pub fn named_images(&self) -> impl Iterator<Item = String> {
        self.images
            .iter()
            .map(|(name, source)| format!("{name}={source}"))
    }

    pub(super) fn write(&self, spec: &mut Spec) {
        spec.images = Some(self.images.clone());
        spec.host_paths = Some(self.host_paths.clone());
        spec.allow_privileged = Some(self.allow_privileged);
        spec.restart_back_off_scale = Some(self.back_off_scale);
    }
}

/// Absolute, and what it seems to be.
fn is_plain(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| part == Component::ParentDir)
}

fn named(what: &str, items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match items.is_empty() {
        true => format!("no {what}"),
        false => format!("{what} {}", items.join(", ")),
    }
}
