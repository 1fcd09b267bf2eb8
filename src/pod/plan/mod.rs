//! From a pod object to what its containers are to be.
//!
//! Pure: what a [`Bundle`] says follows from the object, the image and the node's facts. The
//! one thing with effects is [`prepare`], which writes to disk what [`volumes`]
//! decided. Every bundle has passed [`confinement`] before anybody sees it.

mod argv;
mod bundle;
mod capability;
pub mod confinement;
mod environment;
mod error;
mod expand;
mod field;
mod host_path;
mod identity;
mod mounts;
mod prepare;
mod security;
mod volume;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::cluster::ConfigMapView;

pub use bundle::{before_start, bundle, log, termination_log};
pub use error::ConfigError;
pub use prepare::{PrepareError, prepare};
pub use volume::{HostPathKind, Preparation, ProjectedFile, config_maps_needed, volumes};

/// What a node is to its pods.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    pub name: String,
    pub addresses: Vec<IpAddr>,
    pub policy: Policy,
    /// The node's own tree, in which hostPath volumes are. Absolute.
    pub root: PathBuf,
    /// What its pods wrote, which a hostPath sees as /var/log/pods. Absolute.
    pub logs: PathBuf,
    /// The binary of the built-in images' programs. Absolute.
    pub program: PathBuf,
    /// The machine's /etc/resolv.conf.
    pub resolv_conf: String,
}

#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Containers may be privileged, and may add any capability.
    pub privileged: bool,
    /// Real directories of the machine that hostPath may reach. Absolute.
    pub host_paths: Vec<PathBuf>,
}

/// What is known of a pod when its containers start.
#[derive(Clone, Copy, Debug)]
pub struct PodFacts<'a> {
    pub pod: &'a Pod,
    /// Its own, primary family first.
    pub addresses: &'a [IpAddr],
    /// Of its namespace, those of [`config_maps_needed`] that are there.
    pub config_maps: &'a BTreeMap<String, ConfigMapView>,
}

impl<'a> PodFacts<'a> {
    fn name(&self) -> &'a str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &'a str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn spec(&self) -> Result<&'a PodSpec, ConfigError> {
        self.pod.spec.as_ref().ok_or(ConfigError::NoSpec)
    }

    /// What the pod calls itself: its node's name where it has the node's network.
    fn hostname(&self, node: &NodeFacts) -> Result<String, ConfigError> {
        let spec = self.spec()?;
        if spec.host_network == Some(true) {
            return Ok(node.name.clone());
        }
        let name = spec.hostname.as_deref().filter(|name| !name.is_empty());
        Ok(crate::cluster::hostname(
            name.unwrap_or_else(|| self.name()),
        ))
    }
}
