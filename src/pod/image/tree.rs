//! A directory that holds a root file system nobody has looked through yet.
//!
//! Its links may lead anywhere; here they lead nowhere but inside, as they would in a
//! container whose root it is.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

pub struct Tree(File);

/// A name in a directory of the tree that is held open: no link is on the way to it,
/// but it may be one itself.
pub struct Spot {
    parent: OwnedFd,
    name: OsString,
}

impl Tree {
    pub fn open(path: &Path) -> io::Result<Tree> {
        File::open(path).map(Tree)
    }

    /// A file of it, for reading. A FIFO does not keep whoever opens it waiting.
    pub fn read(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(self.lookup(path, flags)?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a file",
            )),
        }
    }

    /// Where `path` is, or would be. `path` is relative and clean ([`clean`]) and not empty.
    pub fn spot(&self, path: &Path) -> io::Result<Spot> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        Ok(Spot {
            parent: self.lookup(parent, flags)?,
            name: name.to_owned(),
        })
    }

    /// As [`Tree::spot`]; directories on the way are made.
    pub fn make_spot(&self, path: &Path) -> io::Result<Spot> {
        match self.spot(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        if let Some(parent) = path.parent() {
            let above = self.make_spot(parent)?;
            match DirBuilder::new().mode(0o755).create(above.path()) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        self.spot(path)
    }

    fn lookup(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.0, path, flags, Mode::empty(), resolve)
    }
}

impl Spot {
    /// For calls that do not follow a link in the last place.
    pub fn path(&self) -> PathBuf {
        let parent = self.parent.as_raw_fd();
        Path::new("/proc/self/fd")
            .join(parent.to_string())
            .join(&self.name)
    }

    /// Takes away what is there, whatever it is; nothing is fine.
    pub fn clear(&self) -> io::Result<()> {
        let path = self.path();
        let removed = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// `path` as a relative one without `.`; `None` if it has `..`.
pub fn clean(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}
