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
        let place = self
            .dir
            .join(format!("{}_{}_{uid}", pod.namespace, pod.name));
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
