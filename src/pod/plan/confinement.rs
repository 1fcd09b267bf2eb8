//! What a container may see and do, read off its bundle.
//!
//! A second opinion: it knows nothing of how bundles are made, and what it objects to is
//! never started. So a mistake in the planner is a container that does not start, and
//! no way out of one.

use std::path::{Component, Path, PathBuf};

use crate::pod::bundle::{Bundle, Mount, PidNamespace};
use crate::pod::image::Image;

use super::{NodeFacts, capability};

/// Of the machine; what is in the pod's own directory is the pod's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    pub reads: Vec<PathBuf>,
    pub writes: Vec<PathBuf>,
    pub capabilities: Vec<&'static str>,
    /// By setuid programs, never beyond `capabilities`.
    pub gains_privileges: bool,
    /// Can write /proc/sys.
    pub writes_kernel_settings: bool,
    /// Sees, and may signal, the processes of its pod's other containers.
    pub sees_pod_processes: bool,
}

impl Confinement {
    pub fn of(bundle: &Bundle) -> Confinement {
        let outside = bundle
            .mounts
            .iter()
            .filter(|mount| mount.source.is_absolute());
        let (writable, readable): (Vec<&Mount>, Vec<&Mount>) =
            outside.partition(|mount| !mount.read_only);
        let paths = |mounts: Vec<&Mount>| {
            mounts
                .iter()
                .map(|mount| mount.source.join(&mount.below))
                .collect()
        };
        let mut reads: Vec<PathBuf> = paths(readable);
        reads.extend(bundle.root.layers.iter().cloned());
        Confinement {
            reads,
            writes: paths(writable),
            capabilities: capability::names(bundle.process.capabilities),
            gains_privileges: !bundle.process.no_new_privileges,
            writes_kernel_settings: !bundle
                .root
                .read_only_paths
                .iter()
                .any(|path| path == Path::new("/proc/sys")),
            sees_pod_processes: bundle.pids == PidNamespace::Pod,
        }
    }
}

/// Each way in which `bundle` is more than `node` allows a container of `image`, in
/// words; none is what it must be.
pub fn violations(bundle: &Bundle, node: &NodeFacts, image: &Image) -> Vec<String> {
    let mut found = Vec::new();
    let confinement = Confinement::of(bundle);
    for mount in &bundle.mounts {
        found.extend(of_mount(mount, node));
    }
    if bundle.root.layers != image.root.layers {
        found.push("its root is not its image's".to_owned());
    }
    let hidden = &bundle.root.hidden;
    found.extend(
        image
            .root
            .hidden
            .iter()
            .filter(|path| !hidden.contains(path))
            .map(|path| format!("{} is not hidden", path.display())),
    );
    if !leads_nowhere_else(&bundle.log) || bundle.log.is_absolute() {
        found.push(format!(
            "its log {} is not in the pod's directory",
            bundle.log.display()
        ));
    }
    if !node.policy.privileged {
        let beyond = bundle.process.capabilities & !capability::HARMLESS;
        found.extend(
            capability::names(beyond)
                .iter()
                .map(|name| format!("it has {name}")),
        );
        if confinement.writes_kernel_settings {
            found.push("it can write kernel settings".to_owned());
        }
        for path in ["/proc/kcore", "/proc/keys", "/sys/firmware"] {
            if !bundle
                .root
                .masked
                .iter()
                .any(|masked| masked == Path::new(path))
            {
                found.push(format!("it can read {path}"));
            }
        }
        let ptrace = bundle.process.capabilities & capability::NOT_WITH_POD_PIDS != 0;
        if ptrace && confinement.sees_pod_processes {
            found.push("it can trace its pod's first process".to_owned());
        }
    }
    found
}

fn of_mount(mount: &Mount, node: &NodeFacts) -> Option<String> {
    let source = mount.source.as_path();
    let shown = mount.source.join(&mount.below);
    let shown = shown.display();
    if !leads_nowhere_else(source) || !leads_nowhere_else(&mount.below) || mount.below.is_absolute()
    {
        return Some(format!("{shown} leads out of where it begins"));
    }
    let target = mount.target.as_path();
    let over_the_kernel = target.starts_with("/proc") || target.starts_with("/sys");
    if !target.is_absolute() || !leads_nowhere_else(target) || over_the_kernel {
        return Some(format!("{} is no place for a mount", target.display()));
    }
    let pods = source.is_relative() && is_shown(source);
    let nodes = source == node.root || node.policy.host_paths.iter().any(|open| open == source);
    let as_it_is = mount.read_only && mount.below.as_os_str().is_empty();
    let shared = as_it_is && (source == node.program || source == node.logs);
    match pods || nodes || shared {
        true => None,
        false => Some(format!(
            "{shown} is neither the pod's nor open to containers"
        )),
    }
}

/// Of the pod's directory: not the directory itself, and not its socket.
fn is_shown(path: &Path) -> bool {
    ["etc", "volumes", "termination"]
        .iter()
        .any(|dir| path.starts_with(dir) && path.components().count() > 1)
}

fn leads_nowhere_else(path: &Path) -> bool {
    !path
        .components()
        .any(|component| component == Component::ParentDir)
}

#[cfg(test)]
mod tests;
