//! hostPath volumes: which tree a path is in.
//!
//! The innermost of the machine's directories that the lab opens, else the logs of the
//! node's pods, which nobody writes but podnet-pause, else the node's own tree.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use crate::pod::bundle::Mount;

use super::volume::{HostPathKind, Place, Preparation, inside, unsupported};
use super::{ConfigError, NodeFacts};

/// Where whoever collects logs looks for them: `NAMESPACE_NAME_UID/CONTAINER/N.log`
/// (`ContainerLogsDir` in pkg/kubelet).
pub const POD_LOGS: &str = "/var/log/pods";

pub fn place(node: &NodeFacts, source: &HostPathVolumeSource) -> Result<Place, ConfigError> {
    let below = inside(&source.path)?;
    let path = Path::new("/").join(&below);
    let opened = node
        .policy
        .host_paths
        .iter()
        .filter(|open| path.starts_with(open));
    if let Some(open) = opened.max_by_key(|open| open.components().count()) {
        let rest = path.strip_prefix(open).unwrap_or(Path::new(""));
        return Ok(Place {
            base: open.clone(),
            below: rest.to_owned(),
            read_only: false,
        });
    }
    match path.strip_prefix(POD_LOGS) {
        Ok(rest) if rest.as_os_str().is_empty() => Ok(logs(node)),
        Ok(_) => Err(unsupported(
            format!("a hostPath below {POD_LOGS}"),
            "take that directory itself, which is read-only",
        )),
        Err(_) => Ok(Place {
            base: node.root.clone(),
            below,
            read_only: false,
        }),
    }
}

fn logs(node: &NodeFacts) -> Place {
    Place {
        base: node.logs.clone(),
        below: PathBuf::new(),
        read_only: true,
    }
}

pub fn preparation(
    node: &NodeFacts,
    volume: &str,
    source: &HostPathVolumeSource,
) -> Result<Preparation, ConfigError> {
    let place = place(node, source)?;
    Ok(Preparation::Host {
        volume: volume.to_owned(),
        own_tree: place.base == node.root,
        base: place.base,
        below: place.below,
        kind: kind(source)?,
    })
}

/// The pods' logs, where a mount of the node's own tree has a place for them.
pub fn logs_within(node: &NodeFacts, mount: &Mount) -> Option<Mount> {
    if mount.source != node.root {
        return None;
    }
    let rest = Path::new(POD_LOGS)
        .strip_prefix(Path::new("/").join(&mount.below))
        .ok()?;
    let logs = logs(node);
    Some(Mount {
        source: logs.base,
        below: logs.below,
        target: mount.target.iter().chain(rest).collect(),
        read_only: logs.read_only,
    })
}

fn kind(source: &HostPathVolumeSource) -> Result<HostPathKind, ConfigError> {
    Ok(match source.type_.as_deref().unwrap_or_default() {
        "" => HostPathKind::Unchecked,
        "Directory" => HostPathKind::Directory,
        "DirectoryOrCreate" => HostPathKind::DirectoryOrCreate,
        "File" => HostPathKind::File,
        "FileOrCreate" => HostPathKind::FileOrCreate,
        "Socket" => HostPathKind::Socket,
        other => {
            let what = format!("a hostPath of type {other:?}");
            return Err(unsupported(
                what,
                "devices are dead in containers; use a file, directory or socket",
            ));
        }
    })
}
