//! Where the logs of a node's pods are: `NAMESPACE_NAME_UID/CONTAINER/N.log`, as on any
//! node, so that a pod that collects logs finds them.
//!
//! A pod's own directory has a link to its part, which goes with the pod.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::model::PodName;

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

    /// Takes away the logs of pods whose uid is `gone`; each that stays is told with why.
    pub fn clear(&self, gone: impl Fn(&str) -> bool) -> Vec<(PathBuf, io::Error)> {
        let mut stayed = Vec::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let uid = name.to_str().and_then(|name| name.rsplit('_').next());
            if uid.is_some_and(&gone)
                && let Err(error) = fs::remove_dir_all(entry.path())
                && error.kind() != io::ErrorKind::NotFound
            {
                stayed.push((entry.path(), error));
            }
        }
        stayed
    }
}
