//! What a container sees of its pod's volumes and files.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use crate::pod::bundle::Mount;
use crate::pod::image::Image;

use super::environment::Environment;
use super::expand::expand;
use super::volume::{inside, place};
use super::{ConfigError, NodeFacts, PodFacts, host_path, identity};

/// Over these no volume can be: podnet-pause mounts them, and what it hides there must
/// stay hidden.
const TAKEN: [&str; 2] = ["/proc", "/sys"];
const DEV: &str = "/dev";
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Whoever is mounted over another one comes later.
pub fn mounts(
    pod: &PodFacts,
    container: &Container,
    environment: &Environment,
    image: &Image,
    node: &NodeFacts,
) -> Result<Vec<Mount>, ConfigError> {
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        mounts.push(of_volume(pod, container, environment, node, mount)?);
    }
    let taken: Vec<PathBuf> = mounts.iter().map(|mount| mount.target.clone()).collect();
    let free = |target: &Path| !taken.iter().any(|taken| taken == target);
    let logs = mounts
        .iter()
        .filter_map(|mount| host_path::logs_within(node, mount));
    let logs: Vec<Mount> = logs.filter(|mount| free(&mount.target)).collect();
    mounts.extend(logs);
    let read_only_root = container
        .security_context
        .as_ref()
        .and_then(|context| context.read_only_root_filesystem)
        == Some(true);
    for (target, source) in identity::FILES {
        if free(Path::new(target)) {
            mounts.push(whole(source, target, read_only_root));
        }
    }
    if let Some(target) = &image.program {
        mounts.push(whole(&node.program, target, true));
    }
    mounts.sort_by_key(|mount| mount.target.components().count());
    Ok(mounts)
}

/// The container's last words are read from `source` when it has ended.
pub fn termination_log(container: &Container, source: PathBuf) -> Result<Mount, ConfigError> {
    let said = container.termination_message_path.as_deref();
    let path = said
        .filter(|path| !path.is_empty())
        .unwrap_or(TERMINATION_LOG);
    Ok(whole(source, target(container, path)?, false))
}

fn whole(source: impl Into<PathBuf>, target: impl Into<PathBuf>, read_only: bool) -> Mount {
    Mount {
        source: source.into(),
        below: PathBuf::new(),
        target: target.into(),
        read_only,
    }
}

fn of_volume(
    pod: &PodFacts,
    container: &Container,
    environment: &Environment,
    node: &NodeFacts,
    mount: &VolumeMount,
) -> Result<Mount, ConfigError> {
    let volumes = pod.spec()?.volumes.iter().flatten();
    let volume = volumes.into_iter().find(|volume| volume.name == mount.name);
    let volume = volume.ok_or_else(|| ConfigError::Invalid {
        object: format!("container {:?}", container.name),
        why: format!(
            "there is no volume {:?}; add it to spec.volumes",
            mount.name
        ),
    })?;
    let place = place(node, volume).map_err(|error| error.in_volume(&volume.name))?;
    let sub = match (&mount.sub_path, &mount.sub_path_expr) {
        (Some(path), _) if !path.is_empty() => path.clone(),
        (_, Some(expr)) if !expr.is_empty() => expand(expr, |name| environment.own(name)),
        _ => String::new(),
    };
    if sub.starts_with('/') {
        return Err(ConfigError::Escapes { path: sub.into() });
    }
    if place.base == node.logs && !sub.is_empty() {
        return Err(ConfigError::Unsupported {
            object: format!("container {:?}", container.name),
            what: format!("a subPath of {}", host_path::POD_LOGS),
            instead: "mount it whole",
        });
    }
    Ok(Mount {
        source: place.base,
        below: place.below.join(inside(&sub)?),
        target: target(container, &mount.mount_path)?,
        read_only: place.read_only || mount.read_only == Some(true),
    })
}

fn target(container: &Container, path: &str) -> Result<PathBuf, ConfigError> {
    let target = Path::new("/").join(inside(path)?);
    let taken = target == Path::new("/")
        || target == Path::new(DEV)
        || TAKEN.iter().any(|taken| target.starts_with(taken));
    if taken {
        return Err(ConfigError::Invalid {
            object: format!("container {:?}", container.name),
            why: format!("nothing can be mounted at {path}; use another mountPath"),
        });
    }
    Ok(target)
}
