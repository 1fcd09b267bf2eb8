//! A pod's volumes: where each is, and what must be on disk before a container starts.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, DownwardAPIVolumeSource, Volume};

use super::{ConfigError, NodeFacts, PodFacts, field, host_path, identity};

const DEFAULT_FILE_MODE: u32 = 0o644;

/// One thing to have on disk. Paths are in the pod's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preparation {
    Directory {
        path: PathBuf,
        mode: u32,
        /// Whose it is, where such a group can be.
        group: Option<u32>,
    },
    File {
        path: PathBuf,
        contents: String,
        mode: u32,
    },
    /// Files that all change at once; their names may have directories in them.
    Projected {
        path: PathBuf,
        files: Vec<ProjectedFile>,
    },
    /// For [`crate::pod::protocol::Request::Tmpfs`].
    Tmpfs {
        path: PathBuf,
        size_bytes: Option<u64>,
    },
    /// `below` must be in `base`, which is outside the pod's directory, and of that kind.
    Host {
        volume: String,
        base: PathBuf,
        below: PathBuf,
        kind: HostPathKind,
        /// `base` is the node's own tree, which begins empty.
        own_tree: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectedFile {
    /// Relative, and without `..`.
    pub path: PathBuf,
    pub contents: Vec<u8>,
    pub mode: u32,
}

/// A hostPath volume's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPathKind {
    Unchecked,
    Directory,
    DirectoryOrCreate,
    File,
    FileOrCreate,
    Socket,
}

/// Where a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As [`crate::pod::bundle::Mount::source`].
    pub base: PathBuf,
    /// What of it.
    pub below: PathBuf,
    pub read_only: bool,
}

/// The ConfigMaps a pod names, each with whether the pod can do without it.
pub fn config_maps_needed(pod: &k8s_openapi::api::core::v1::Pod) -> Vec<(String, bool)> {
    let mut needed = BTreeMap::new();
    let mut need = |name: &str, optional: Option<bool>| {
        let all_optional: &mut bool = needed.entry(name.to_owned()).or_insert(true);
        *all_optional &= optional == Some(true);
    };
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    for volume in spec.volumes.iter().flatten() {
        if let Some(source) = &volume.config_map {
            need(&source.name, source.optional);
        }
    }
    for container in spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
    {
        for source in container.env_from.iter().flatten() {
            if let Some(reference) = &source.config_map_ref {
                need(&reference.name, reference.optional);
            }
        }
        let sources = container
            .env
            .iter()
            .flatten()
            .filter_map(|variable| variable.value_from.as_ref());
        for reference in sources.filter_map(|source| source.config_map_key_ref.as_ref()) {
            need(&reference.name, reference.optional);
        }
    }
    needed.into_iter().collect()
}

/// What must be on disk before any container of the pod starts, in this order. The same
/// again, with newer facts, brings the files in line.
pub fn volumes(pod: &PodFacts, node: &NodeFacts) -> Result<Vec<Preparation>, ConfigError> {
    let mut preparations = identity::files(pod, node)?;
    let group = fs_group(pod)?;
    for volume in pod.spec()?.volumes.iter().flatten() {
        let made = preparation(pod, node, volume, group).map_err(|e| e.in_volume(&volume.name))?;
        preparations.push(made);
    }
    Ok(preparations)
}

fn fs_group(pod: &PodFacts) -> Result<Option<u32>, ConfigError> {
    let context = pod.spec()?.security_context.as_ref();
    Ok(context
        .and_then(|context| context.fs_group)
        .and_then(|gid| u32::try_from(gid).ok()))
}

fn preparation(
    pod: &PodFacts,
    node: &NodeFacts,
    volume: &Volume,
    group: Option<u32>,
) -> Result<Preparation, ConfigError> {
    let path = own_path(&volume.name)?;
    if let Some(source) = &volume.config_map {
        let files = config_map_files(pod, source)?;
        return Ok(Preparation::Projected { path, files });
    }
    if let Some(source) = &volume.downward_api {
        let files = downward_files(pod, node, source)?;
        return Ok(Preparation::Projected { path, files });
    }
    if let Some(source) = &volume.host_path {
        return host_path::preparation(node, &volume.name, source);
    }
    refuse_unknown(volume)?;
    let source = volume.empty_dir.clone().unwrap_or_default();
    match source.medium.as_deref().unwrap_or_default() {
        "" => Ok(Preparation::Directory {
            path,
            mode: if group.is_some() { 0o2777 } else { 0o777 },
            group,
        }),
        "Memory" => Ok(Preparation::Tmpfs {
            path,
            size_bytes: source
                .size_limit
                .map(|limit| quantity(&limit.0))
                .transpose()?,
        }),
        other => Err(unsupported(
            format!("an emptyDir of medium {other:?}"),
            "use \"\" or Memory",
        )),
    }
}

/// Where `volume` is, once it is prepared.
pub fn place(node: &NodeFacts, volume: &Volume) -> Result<Place, ConfigError> {
    if let Some(source) = &volume.host_path {
        return host_path::place(node, source);
    }
    refuse_unknown(volume)?;
    Ok(Place {
        base: own_path(&volume.name)?,
        below: PathBuf::new(),
        read_only: volume.config_map.is_some() || volume.downward_api.is_some(),
    })
}

fn own_path(volume: &str) -> Result<PathBuf, ConfigError> {
    let name = inside(volume)?;
    match name.components().count() {
        1 => Ok(Path::new("volumes").join(name)),
        _ => Err(ConfigError::Escapes { path: name }),
    }
}

/// `path` below something: without `.`, and refused if it has `..`.
pub fn inside(path: &str) -> Result<PathBuf, ConfigError> {
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(ConfigError::Escapes { path: path.into() });
            }
        }
    }
    Ok(clean)
}

fn config_map_files(
    pod: &PodFacts,
    source: &ConfigMapVolumeSource,
) -> Result<Vec<ProjectedFile>, ConfigError> {
    let optional = source.optional == Some(true);
    let Some(config_map) = pod.config_maps.get(&source.name) else {
        return match optional {
            true => Ok(Vec::new()),
            false => Err(ConfigError::NoConfigMap {
                namespace: pod.namespace().to_owned(),
                name: source.name.clone(),
            }),
        };
    };
    let default = mode(source.default_mode).unwrap_or(DEFAULT_FILE_MODE);
    let file = |key: &str, path: &str, mode: u32| {
        let contents = config_map.bytes(key)?.to_vec();
        Some(inside(path).map(|path| ProjectedFile {
            path,
            contents,
            mode,
        }))
    };
    let Some(items) = &source.items else {
        return config_map
            .keys()
            .filter_map(|key| file(key, key, default))
            .collect();
    };
    let mut files = Vec::new();
    for item in items {
        match file(&item.key, &item.path, mode(item.mode).unwrap_or(default)) {
            Some(file) => files.push(file?),
            None if optional => {}
            None => {
                return Err(ConfigError::NoKey {
                    namespace: pod.namespace().to_owned(),
                    name: source.name.clone(),
                    key: item.key.clone(),
                });
            }
        }
    }
    Ok(files)
}

fn downward_files(
    pod: &PodFacts,
    node: &NodeFacts,
    source: &DownwardAPIVolumeSource,
) -> Result<Vec<ProjectedFile>, ConfigError> {
    let default = mode(source.default_mode).unwrap_or(DEFAULT_FILE_MODE);
    let files = source.items.iter().flatten().map(|item| {
        let Some(reference) = &item.field_ref else {
            return Err(unsupported(
                "a resourceFieldRef".to_owned(),
                "use a fieldRef",
            ));
        };
        Ok(ProjectedFile {
            path: inside(&item.path)?,
            contents: field::value(pod, node, &reference.field_path)?.into_bytes(),
            mode: mode(item.mode).unwrap_or(default),
        })
    });
    files.collect()
}

fn mode(said: Option<i32>) -> Option<u32> {
    said.and_then(|mode| u32::try_from(mode).ok())
        .map(|mode| mode & 0o777)
}

/// A volume of any source that podnet has not.
fn refuse_unknown(volume: &Volume) -> Result<(), ConfigError> {
    let known =
        volume.empty_dir.is_some() || volume.config_map.is_some() || volume.downward_api.is_some();
    let fields = serde_json::to_value(volume).unwrap_or_default();
    let source = fields
        .as_object()
        .and_then(|fields| fields.keys().find(|key| *key != "name").cloned());
    match source {
        Some(source) if !known => Err(unsupported(
            format!("a {source} volume"),
            "use emptyDir, hostPath, configMap or downwardAPI",
        )),
        _ => Ok(()),
    }
}

pub fn unsupported(what: String, instead: &'static str) -> ConfigError {
    ConfigError::Unsupported {
        object: "its source".to_owned(),
        what,
        instead,
    }
}

/// A size as Kubernetes writes it: `64Mi`, `1G`, `100k`, `1e3`, rounded up to a byte.
fn quantity(text: &str) -> Result<u64, ConfigError> {
    let invalid = || ConfigError::Invalid {
        object: "sizeLimit".to_owned(),
        why: format!("{text:?} is no size; write it like 64Mi"),
    };
    let split = text
        .find(|c: char| c.is_ascii_alphabetic() && !"eE".contains(c))
        .unwrap_or(text.len());
    let (number, unit) = match text.strip_suffix('E') {
        Some(number) => (number, "E"),
        None => match text.strip_suffix("Ei") {
            Some(number) => (number, "Ei"),
            None => text.split_at(split),
        },
    };
    let factor: f64 = match unit {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        _ => return Err(invalid()),
    };
    let bytes = number.parse::<f64>().map_err(|_| invalid())? * factor;
    match bytes.is_finite() && bytes >= 0.0 {
        true => Ok(bytes.ceil() as u64),
        false => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_kubernetes_writes_them() {
        for (text, bytes) in [
            ("64Mi", 64 << 20),
            ("1k", 1000),
            ("1.5Gi", 3 << 29),
            ("1e3", 1000),
            ("100m", 1),
            ("1E", 1_000_000_000_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(quantity(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "-1", "1Q", "inf", "NaN"] {
            assert!(quantity(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_leads_out_of_what_it_is_in() {
        assert_eq!(inside("/a/./b"), Ok(PathBuf::from("a/b")));
        assert_eq!(inside(""), Ok(PathBuf::new()));
        for path in ["..", "a/../b", "/.."] {
            assert!(inside(path).is_err(), "{path}");
        }
    }
}
