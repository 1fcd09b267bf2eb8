//! Why a container cannot be what its pod asks for.

use std::path::PathBuf;

use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("the pod has no spec")]
    NoSpec,
    #[error(
        "configmap {name:?} not found in namespace {namespace:?}; create it, or mark it optional"
    )]
    NoConfigMap { namespace: String, name: String },
    #[error("couldn't find key {key} in ConfigMap {namespace}/{name}; add it, or mark it optional")]
    NoKey {
        namespace: String,
        name: String,
        key: String,
    },
    #[error("{object}: {what} is not supported here; {instead}")]
    Unsupported {
        object: String,
        what: String,
        instead: &'static str,
    },
    #[error(
        "{object} asks for {what}, which this lab does not allow; say `allowPrivileged: true` in the lab file"
    )]
    NotAllowed { object: String, what: String },
    #[error("{object}: {why}")]
    Invalid { object: String, why: String },
    #[error(
        "container {container:?}: container has runAsNonRoot and image will run as root; set runAsUser"
    )]
    RunsAsRoot { container: String },
    #[error(
        "container {container:?}: unable to find {what} in the image; use a number, or one that is there"
    )]
    NoUser { container: String, what: String },
    #[error("container {container:?}: no command specified; set `command`, its image has none")]
    NoCommand { container: String },
    #[error("volume {volume:?}: {source}")]
    Volume {
        volume: String,
        source: Box<ConfigError>,
    },
    #[error("path {} leaves the directory it is in; name one without `..`", path.display())]
    Escapes { path: PathBuf },
    #[error("container {container:?} is not started, since it could leave its confinement: {}", ways.join("; "))]
    Unconfined {
        container: String,
        ways: Vec<String>,
    },
}

impl ConfigError {
    /// As the kubelet calls it, as an event's reason or where a container waits.
    pub fn reason(&self) -> &'static str {
        match self {
            ConfigError::Volume { .. } => "FailedMount",
            ConfigError::NotAllowed { .. }
            | ConfigError::NoCommand { .. }
            | ConfigError::NoUser { .. }
            | ConfigError::Unconfined { .. } => "CreateContainerError",
            _ => "CreateContainerConfigError",
        }
    }

    pub(super) fn in_volume(self, volume: &str) -> ConfigError {
        ConfigError::Volume {
            volume: volume.to_owned(),
            source: Box::new(self),
        }
    }
}
