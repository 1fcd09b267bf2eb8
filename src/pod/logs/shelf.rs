//! Where the logs of a node's pods are: `NAMESPACE_NAME_UID/CONTAINER/N.log`, as on any
//! node, so that a pod that collects logs finds them.
//!
//! A pod's own directory has a link to its part, which goes with the pod.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::model::PodName;
use crate::pod::remove::remove_tree;

/// limits.h
const NAME_MAX: usize = 255;
/// In the pod's directory.
const LINK: &str = "logs";

#[derive(Debug)]
pub struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    pub fn new(dir: PathBuf) -> io::Result<Shelf> {
        fs::create_dir_all(&dir)?;
        Ok(Shelf { dir })
    }

    /// Has the logs of the pod in `pod_dir` kept here. Those that are in there already stay
    /// there. Idempotent.
    pub fn keep(&self, pod: &PodName, uid: &str, pod_dir: &Path) -> io::Result<()> {
        let place = self.dir.join(name(pod, uid));
        fs::create_dir_all(&place)?;
        match symlink(&place, pod_dir.join(LINK)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Whose logs are here, by uid; some more than once.
    pub fn uids(&self) -> impl Iterator<Item = String> {
        self.places()
            .filter_map(|place| Some(uid(&place)?.to_owned()))
    }

    /// Takes away the logs of a pod; each that stays is told with why.
    pub fn clear(&self, of: &str) -> Vec<(PathBuf, io::Error)> {
        let its = self.places().filter(|place| uid(place) == Some(of));
        its.filter_map(|place| Some((remove_tree(&place).err()?, place)))
            .map(|(error, place)| (place, error))
            .collect()
    }

    fn places(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path())
    }
}

/// Neither names nor namespaces have a `_`.
fn uid(place: &Path) -> Option<&str> {
    place.file_name()?.to_str()?.rsplit('_').next()
}

/// A file's name has 255 bytes at most, a pod's alone 253: it is cut, and the uid tells it from others.
fn name(pod: &PodName, uid: &str) -> String {
    let end = format!("_{uid}");
    let whole = format!("{}_{}", pod.namespace, pod.name);
    let cut = whole.get(..NAME_MAX.saturating_sub(end.len()));
    format!("{}{end}", cut.unwrap_or(&whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_names_has_a_place_and_keeps_its_uid() {
        let pod = PodName::new(&"n".repeat(63), &"p".repeat(253));
        let name = name(&pod, "0-1");
        assert_eq!(name.len(), NAME_MAX);
        assert_eq!(uid(Path::new(&name)), Some("0-1"));
    }
}
