//! Unpacking layers over each other (image-spec, layer.md).
//!
//! Each is read twice: once for its digest and for what it takes away, and then for what it
//! adds, since a layer takes away only what is below it, wherever in it that is said.

use std::cmp::Reverse;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use super::super::tree::{Tree, clean};
use super::digest::Hashing;
use super::packed::unpacked;
use super::{LoadError, damaged};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// What `docker save`, and others, put at the top of an archive.
const ARCHIVE: &str = "the archive";

/// A root file system in the making.
pub struct Unpacking {
    tree: Tree,
    size_bytes: u64,
    /// Set at the end: what is in a directory that cannot be written comes after it.
    modes: Vec<(PathBuf, u32)>,
    /// Whose the files are is kept, which only root can.
    as_root: bool,
}

impl Unpacking {
    /// Into `root`, an empty directory.
    pub fn new(root: &Path) -> Result<Unpacking, LoadError> {
        let tree =
            Tree::open(root).map_err(|source| unpack("the image", Path::new("/"), source))?;
        Ok(Unpacking {
            tree,
            size_bytes: 0,
            modes: Vec::new(),
            as_root: nix::unistd::geteuid().is_root(),
        })
    }

    /// The layer in `path` of `archive`, over those before. `digest` is of its tar archive.
    pub fn apply(&mut self, archive: &Tree, path: &Path, digest: &str) -> Result<(), LoadError> {
        let what = format!("layer {}", path.display());
        let file = archive.read(path).map_err(|error| damaged(&what, error))?;
        let broken = |error: io::Error| damaged(&what, error);
        let mut hashing = Hashing::new(unpacked(&file).map_err(broken)?);
        for entry in Archive::new(&mut hashing).entries().map_err(broken)? {
            self.take_away(&what, &entry.map_err(broken)?)?;
        }
        let found = hashing.finish().map_err(broken)?;
        if found != digest {
            return Err(LoadError::Digest {
                what,
                wanted: digest.to_owned(),
                found,
            });
        }
        for entry in Archive::new(unpacked(&file).map_err(broken)?)
            .entries()
            .map_err(broken)?
        {
            self.add(&what, &mut entry.map_err(broken)?)?;
        }
        Ok(())
    }

    /// Bytes of all files.
    pub fn finish(mut self) -> Result<u64, LoadError> {
        // What is deepest comes first.
        self.modes
            .sort_by_key(|(path, _)| Reverse(path.components().count()));
        for (path, mode) in &self.modes {
            let Ok(spot) = self.tree.spot(path) else {
                continue;
            };
            // Who is not root must be able to remove what is in it again.
            let mode = if self.as_root { *mode } else { mode | 0o700 };
            match fs::symlink_metadata(spot.path()) {
                Ok(found) if found.is_dir() => {
                    let set = fs::set_permissions(spot.path(), Permissions::from_mode(mode));
                    set.map_err(|source| unpack("the image", path, source))?;
                }
                _ => {}
            }
        }
        Ok(self.size_bytes)
    }

    fn take_away<R: Read>(&self, what: &str, entry: &Entry<'_, R>) -> Result<(), LoadError> {
        let path = path_of(what, entry)?;
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Ok(());
        };
        let failed = |source| unpack(what, &path, source);
        let gone = match name.strip_prefix(WHITEOUT) {
            None => return Ok(()),
            Some(_) if name == OPAQUE => {
                let Ok(spot) = self.tree.spot(&path) else {
                    return Ok(());
                };
                let parent = spot.path();
                let parent = parent.parent().unwrap_or(Path::new(""));
                let entries = fs::read_dir(parent).map_err(failed)?;
                let names = entries
                    .flatten()
                    .map(|entry| path.with_file_name(entry.file_name()));
                names.collect()
            }
            // `..` and `.` are no names of files.
            Some("" | "." | "..") => return Err(escapes(what, &path)),
            Some(name) => vec![path.with_file_name(name)],
        };
        for path in gone {
            match self.tree.spot(&path) {
                Ok(spot) => spot.clear().map_err(failed)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    fn add<R: Read>(&mut self, what: &str, entry: &mut Entry<'_, R>) -> Result<(), LoadError> {
        let path = path_of(what, entry)?;
        let Some(name) = path.file_name() else {
            return Ok(());
        };
        if name.to_string_lossy().starts_with(WHITEOUT) {
            return Ok(());
        }
        self.make(what, &path, entry)
    }

    fn make<R: Read>(
        &mut self,
        what: &str,
        path: &Path,
        entry: &mut Entry<'_, R>,
    ) -> Result<(), LoadError> {
        let failed = |source| unpack(what, path, source);
        let spot = self.tree.make_spot(path).map_err(failed)?;
        let at = spot.path();
        let mode = entry.header().mode().map_err(failed)? & 0o7777;
        let kind = entry.header().entry_type();
        if kind == EntryType::Directory {
            let is_there = fs::symlink_metadata(&at).is_ok_and(|found| found.is_dir());
            if !is_there {
                spot.clear().map_err(failed)?;
                fs::create_dir(&at).map_err(failed)?;
            }
            self.modes.push((path.to_owned(), mode));
            return self
                .own(entry, |uid, gid| chown(&at, uid, gid))
                .map_err(failed);
        }
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                spot.clear().map_err(failed)?;
                let mut options = OpenOptions::new();
                let mut file = options
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&at)
                    .map_err(failed)?;
                self.size_bytes += io::copy(entry, &mut file).map_err(failed)?;
                self.own(entry, |uid, gid| chown(&at, uid, gid))
                    .map_err(failed)?;
                file.set_permissions(Permissions::from_mode(mode))
                    .map_err(failed)
            }
            EntryType::Symlink => {
                let target = link(what, entry)?;
                spot.clear().map_err(failed)?;
                symlink(target, &at).map_err(failed)?;
                self.own(entry, |uid, gid| lchown(&at, uid, gid))
                    .map_err(failed)
            }
            EntryType::Link => {
                let target = link(what, entry)?;
                let target = clean(&target).ok_or_else(|| escapes(what, &target))?;
                if target == path {
                    return Ok(());
                }
                let target = self.tree.spot(&target).map_err(failed)?;
                spot.clear().map_err(failed)?;
                fs::hard_link(target.path(), &at).map_err(failed)
            }
            // Devices are dead in containers, and all else is not a file.
            _ => Ok(()),
        }
    }

    fn own<R: Read>(
        &self,
        entry: &Entry<'_, R>,
        set: impl FnOnce(Option<u32>, Option<u32>) -> io::Result<()>,
    ) -> io::Result<()> {
        if !self.as_root {
            return Ok(());
        }
        let id = |id: u64| u32::try_from(id).ok();
        match set(id(entry.header().uid()?), id(entry.header().gid()?)) {
            // Root of a user namespace that has no such user.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(nix::libc::EINVAL | nix::libc::EPERM)
                ) =>
            {
                Ok(())
            }
            other => other,
        }
    }
}

/// A tar archive of an image, into an empty directory.
pub fn unpack_archive(archive: &Path, into: &Path) -> Result<(), LoadError> {
    let file = File::open(archive).map_err(|source| LoadError::Open {
        path: archive.to_owned(),
        source,
    })?;
    let broken = |_| LoadError::NotAnImage {
        path: archive.to_owned(),
    };
    let mut unpacking = Unpacking::new(into)?;
    unpacking.as_root = false;
    for entry in Archive::new(unpacked(&file).map_err(broken)?)
        .entries()
        .map_err(broken)?
    {
        let mut entry = entry.map_err(broken)?;
        let path = path_of(ARCHIVE, &entry)?;
        if path.file_name().is_some() {
            unpacking.make(ARCHIVE, &path, &mut entry)?;
        }
    }
    Ok(())
}

/// Relative to the root; absolute ones mean the same (image-spec, layer.md).
fn path_of<R: Read>(what: &str, entry: &Entry<'_, R>) -> Result<PathBuf, LoadError> {
    let path = entry.path().map_err(|error| damaged(what, error))?;
    clean(&path).ok_or_else(|| escapes(what, &path))
}

fn link<R: Read>(what: &str, entry: &Entry<'_, R>) -> Result<PathBuf, LoadError> {
    let target = entry.link_name().map_err(|error| damaged(what, error))?;
    target
        .map(|target| target.into_owned())
        .ok_or_else(|| damaged(what, "a link leads to nothing"))
}

fn escapes(what: &str, path: &Path) -> LoadError {
    LoadError::Escapes {
        what: what.to_owned(),
        path: path.to_owned(),
    }
}

fn unpack(what: &str, path: &Path, source: io::Error) -> LoadError {
    LoadError::Unpack {
        what: what.to_owned(),
        path: path.to_owned(),
        source,
    }
}
