//! Loaded images of a lab, for all its nodes.
//!
//! `index.json` says what there is; `roots/` has one directory for each set of layers. The index is
//! replaced as a whole, so that agents may read it at any time; who writes holds the lock.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Accounts, Image, ImageRoot, Reference};

const INDEX: &str = "index.json";
const ROOTS: &str = "roots";
const LOCK: &str = "lock";
const SCRATCH: &str = "scratch";

#[derive(Debug, Error)]
pub enum StoreError {
    #[error("cannot {step} {}", path.display())]
    File {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is damaged; remove it and load the images again", path.display())]
    Damaged {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("no image {0} was loaded; `podnet image list` shows those that were")]
    NotThere(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Index {
    /// By name with tag.
    images: BTreeMap<String, Loaded>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Loaded {
    /// Of its configuration, with `sha256:`.
    pub id: String,
    /// In `roots/`.
    pub root: String,
    pub size_bytes: u64,
    pub origin: Origin,
    pub config: Config,
}

/// The file an image came from; another one of that name is another image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    pub path: PathBuf,
    modified_nanoseconds: i128,
    size_bytes: u64,
}

/// What a container of the image is without being asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub env: Vec<String>,
    pub cwd: Option<PathBuf>,
    pub user: Option<String>,
}

impl Origin {
    pub fn of(path: &Path) -> io::Result<Origin> {
        let path = path.canonicalize()?;
        let found = fs::metadata(&path)?;
        Ok(Origin {
            modified_nanoseconds: i128::from(found.mtime()) * 1_000_000_000
                + i128::from(found.mtime_nsec()),
            size_bytes: found.len(),
            path,
        })
    }
}

impl From<&ImageConfiguration> for Config {
    fn from(image: &ImageConfiguration) -> Config {
        let config = image.config().clone().unwrap_or_default();
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Config {
            entrypoint: config.entrypoint().clone().unwrap_or_default(),
            cmd: config.cmd().clone().unwrap_or_default(),
            env: config.env().clone().unwrap_or_default(),
            cwd: text(config.working_dir()).map(PathBuf::from),
            user: text(config.user()),
        }
    }
}

pub struct Store {
    dir: PathBuf,
}

/// A directory that goes with this, and the lock that its owner alone holds.
pub struct Scratch {
    path: PathBuf,
    #[expect(dead_code, reason = "the lock goes when the file is closed")]
    lock: Flock<File>,
}

impl Scratch {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is taken away by the next one.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Store {
    /// In `dir`, which need not be there.
    pub fn new(dir: PathBuf) -> Store {
        Store { dir }
    }

    /// By name with tag.
    pub fn list(&self) -> Result<BTreeMap<String, Loaded>, StoreError> {
        self.index().map(|index| index.images)
    }

    /// By name and tag, or by the digest of its configuration.
    pub fn find(&self, reference: &Reference) -> Result<Option<Image>, StoreError> {
        let index = self.index()?;
        let found = match (reference.tag_or_latest(), &reference.digest) {
            (_, Some(digest)) => index.images.iter().find(|(_, loaded)| loaded.id == *digest),
            (Some(tag), None) => index
                .images
                .get_key_value(&format!("{}:{tag}", reference.name)),
            (None, None) => None,
        };
        found
            .map(|(_, loaded)| self.image(reference, loaded))
            .transpose()
    }

    /// As [`Store::find`], if it came from `origin`.
    pub fn find_from(
        &self,
        reference: &Reference,
        origin: &Origin,
    ) -> Result<Option<Image>, StoreError> {
        let tag = reference.tag_or_latest().unwrap_or_default();
        let index = self.index()?;
        let found = index.images.get(&format!("{}:{tag}", reference.name));
        let same = found.filter(|loaded| loaded.origin == *origin);
        same.map(|loaded| self.image(reference, loaded)).transpose()
    }

    /// Waits for whoever else has it.
    pub fn scratch(&self) -> Result<Scratch, StoreError> {
        let lock = self.lock()?;
        let path = self.dir.join(SCRATCH);
        // Of one that was killed.
        let _ = fs::remove_dir_all(&path);
        make_dir(&path)?;
        Ok(Scratch { path, lock })
    }

    /// Takes `root` over, which is in a [`Scratch`], whose holder has the lock.
    pub fn add(
        &self,
        root: &Path,
        names: Vec<String>,
        loaded: Loaded,
    ) -> Result<Vec<String>, StoreError> {
        make_dir(&self.dir.join(ROOTS))?;
        let place = self.root(&loaded);
        if !place.exists() {
            fs::rename(root, &place).map_err(|source| file("make", &place, source))?;
        }
        let mut index = self.index()?;
        for name in &names {
            index.images.insert(name.clone(), loaded.clone());
        }
        self.write(&index)?;
        self.sweep(&index)?;
        Ok(names)
    }

    /// The image goes with its last name.
    pub fn remove(&self, reference: &Reference) -> Result<String, StoreError> {
        let _lock = self.lock()?;
        let tag = reference.tag_or_latest().unwrap_or_default();
        let name = format!("{}:{tag}", reference.name);
        let mut index = self.index()?;
        if index.images.remove(&name).is_none() {
            return Err(StoreError::NotThere(reference.to_string()));
        }
        self.write(&index)?;
        self.sweep(&index)?;
        Ok(name)
    }

    fn image(&self, reference: &Reference, loaded: &Loaded) -> Result<Image, StoreError> {
        let root = self.root(loaded);
        let config = loaded.config.clone();
        Ok(Image {
            reference: reference.to_string(),
            id: loaded.id.clone(),
            accounts: Accounts::read(&root)
                .map_err(|source| file("read users of", &root, source))?,
            root: ImageRoot {
                layers: vec![root],
                hidden: Vec::new(),
            },
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            env: config.env,
            cwd: config.cwd,
            user: config.user,
            program: None,
        })
    }

    fn root(&self, loaded: &Loaded) -> PathBuf {
        self.dir.join(ROOTS).join(&loaded.root)
    }

    fn index(&self) -> Result<Index, StoreError> {
        let path = self.dir.join(INDEX);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| StoreError::Damaged { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Index::default()),
            Err(source) => Err(file("read", &path, source)),
        }
    }

    fn write(&self, index: &Index) -> Result<(), StoreError> {
        let path = self.dir.join(INDEX);
        let unfinished = path.with_extension("json.new");
        let text = serde_json::to_vec_pretty(index).map_err(|source| StoreError::Damaged {
            path: path.clone(),
            source,
        })?;
        let written = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, &path));
        written.map_err(|source| file("write", &path, source))
    }

    /// Takes away roots that no image has.
    fn sweep(&self, index: &Index) -> Result<(), StoreError> {
        let roots = self.dir.join(ROOTS);
        let entries = fs::read_dir(&roots).map_err(|source| file("list", &roots, source))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !index.images.values().any(|loaded| name == *loaded.root) {
                fs::remove_dir_all(entry.path())
                    .map_err(|source| file("remove", &entry.path(), source))?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> Result<Flock<File>, StoreError> {
        make_dir(&self.dir)?;
        let path = self.dir.join(LOCK);
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).open(&path);
        let opened = opened.map_err(|source| file("open", &path, source))?;
        Flock::lock(opened, FlockArg::LockExclusive)
            .map_err(|(_, errno)| file("lock", &path, errno.into()))
    }
}

fn make_dir(path: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| file("make", path, source))
}

fn file(step: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::File {
        step,
        path: path.to_owned(),
        source,
    }
}
