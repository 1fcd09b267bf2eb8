//! The topology file as it is written, and how flags lie over it.
//!
//! What a person did not say stays `None`, so that `up` on a lab that exists
//! compares only what was asked for and keeps the rest.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::TopologyError;
use crate::pod::{BackOffScale, ImageSource};

pub const API_VERSION: &str = "podnet.dev/v1alpha1";
pub const KIND: &str = "Lab";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabFile {
    pub api_version: String,
    pub kind: String,
    #[serde(default)]
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: Spec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    #[serde(
        default,
        rename = "clusterCIDRs",
        skip_serializing_if = "Option::is_none"
    )]
    pub cluster_cidrs: Option<Vec<IpNetwork>>,
    #[serde(default)]
    pub node_masks: NodeMasks,
    #[serde(
        default,
        rename = "underlayCIDRs",
        skip_serializing_if = "Option::is_none"
    )]
    pub underlay_cidrs: Option<Vec<IpNetwork>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// The port on 127.0.0.1; 0 means any that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_port: Option<u16>,
    /// Bytes, of the underlay and of everything on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeEntry>>,
    /// What runs as an image, by its name; relative paths begin where the file is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<BTreeMap<String, ImageSource>>,
    /// Directories of the machine that hostPath volumes may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_paths: Option<Vec<PathBuf>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_privileged: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_back_off_scale: Option<BackOffScale>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeMasks {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    pub name: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl NodeEntry {
    pub fn new(name: impl Into<String>) -> NodeEntry {
        NodeEntry {
            name: name.into(),
            labels: BTreeMap::new(),
        }
    }
}

/// What flags and the environment say; they go over what the file says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub name: Option<String>,
    /// `node-1` to `node-N`; those the file names keep their labels.
    pub nodes: Option<u32>,
    pub cluster_cidrs: Option<Vec<IpNetwork>>,
    pub node_masks: NodeMasks,
    pub backend: Option<String>,
    pub api_port: Option<u16>,
}

impl LabFile {
    /// A file in which nothing is said.
    pub fn empty() -> LabFile {
        LabFile {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            metadata: Metadata::default(),
            spec: Spec::default(),
        }
    }

    pub fn read(path: &Path) -> Result<LabFile, TopologyError> {
        let read = match path.as_os_str() == "-" {
            true => io::read_to_string(io::stdin()),
            false => fs::read_to_string(path),
        };
        let text = read.map_err(|source| TopologyError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut file = LabFile::parse(&path.display().to_string(), &text)?;
        let beside = path.parent().unwrap_or(Path::new(""));
        file.spec
            .make_absolute(&std::path::absolute(beside.join(".")).map_err(|source| {
                TopologyError::Read {
                    path: path.to_owned(),
                    source,
                }
            })?);
        Ok(file)
    }

    /// `origin` is what errors call the text: the path it came from.
    pub fn parse(origin: &str, text: &str) -> Result<LabFile, TopologyError> {
        let file: LabFile = serde_saphyr::from_str(text).map_err(|error| {
            let place = match error.location() {
                Some(at) => format!("{origin}:{}:{}", at.line(), at.column()),
                None => origin.to_owned(),
            };
            let why = error.without_snippet().to_string();
            TopologyError::Malformed { place, why }
        })?;
        if file.api_version != API_VERSION || file.kind != KIND {
            return Err(TopologyError::WrongKind {
                origin: origin.to_owned(),
                api_version: file.api_version,
                kind: file.kind,
            });
        }
        Ok(file)
    }

    /// This file with `flags` over it.
    pub fn overridden(mut self, flags: Overrides) -> LabFile {
        let spec = &mut self.spec;
        replace(&mut self.metadata.name, flags.name);
        replace(&mut spec.cluster_cidrs, flags.cluster_cidrs);
        replace(&mut spec.node_masks.ipv4, flags.node_masks.ipv4);
        replace(&mut spec.node_masks.ipv6, flags.node_masks.ipv6);
        replace(&mut spec.backend, flags.backend);
        replace(&mut spec.api_port, flags.api_port);
        if let Some(count) = flags.nodes {
            let named = spec.nodes.take().unwrap_or_default();
            let numbered = numbered_nodes(count).map(|node| {
                let known = named.iter().find(|entry| entry.name == node.name);
                known.cloned().unwrap_or(node)
            });
            spec.nodes = Some(numbered.collect());
        }
        self
    }

    /// This file where it says something, `existing` where it does not.
    pub fn or(mut self, existing: &LabFile) -> LabFile {
        let (spec, old) = (&mut self.spec, &existing.spec);
        keep(&mut self.metadata.name, &existing.metadata.name);
        keep(&mut spec.cluster_cidrs, &old.cluster_cidrs);
        keep(&mut spec.node_masks.ipv4, &old.node_masks.ipv4);
        keep(&mut spec.node_masks.ipv6, &old.node_masks.ipv6);
        keep(&mut spec.underlay_cidrs, &old.underlay_cidrs);
        keep(&mut spec.backend, &old.backend);
        keep(&mut spec.api_port, &old.api_port);
        keep(&mut spec.mtu, &old.mtu);
        keep(&mut spec.nodes, &old.nodes);
        keep(&mut spec.images, &old.images);
        keep(&mut spec.host_paths, &old.host_paths);
        keep(&mut spec.allow_privileged, &old.allow_privileged);
        keep(
            &mut spec.restart_back_off_scale,
            &old.restart_back_off_scale,
        );
        self
    }
}

impl Spec {
    /// Whoever reads the file later does it from somewhere else.
    fn make_absolute(&mut self, base: &Path) {
        let sources = self.images.iter_mut().flatten().map(|(_, source)| source);
        let of_images = sources.filter_map(ImageSource::path_mut);
        for path in of_images.chain(self.host_paths.iter_mut().flatten()) {
            *path = base.join(&*path);
        }
    }
}

/// `node-1` to `node-<count>`, without labels.
pub fn numbered_nodes(count: u32) -> impl Iterator<Item = NodeEntry> {
    (1..=count).map(|number| NodeEntry::new(format!("node-{number}")))
}

fn replace<T>(value: &mut Option<T>, with: Option<T>) {
    if with.is_some() {
        *value = with;
    }
}

fn keep<T: Clone>(value: &mut Option<T>, existing: &Option<T>) {
    if value.is_none() {
        value.clone_from(existing);
    }
}
