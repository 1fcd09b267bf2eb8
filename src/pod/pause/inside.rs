//! Paths of a container, looked up from outside of it.
//!
//! A container's image and volumes may hold any link. None is followed out of
//! its root: every look-up is openat2(2) with RESOLVE_IN_ROOT, and what is
//! mounted is mounted on the descriptor that came back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2, readlinkat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

/// As many links as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
}

/// What a descriptor refers to: only directories count as one.
pub fn kind_of(fd: impl AsFd) -> io::Result<Kind> {
    let mode = fstat(fd)?.st_mode;
    Ok(match FileType::from_raw_mode(mode) {
        FileType::Directory => Kind::Directory,
        _ => Kind::File,
    })
}

/// An `O_PATH` descriptor of what is there.
pub fn find(root: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), how)
}

/// As [`find`]; what is missing is made: directories, and last a `kind`. Links
/// that lead to nothing are followed to where they lead, inside the root.
pub fn find_or_make(root: BorrowedFd<'_>, path: &Path, kind: Kind) -> io::Result<OwnedFd> {
    let mut found = PathBuf::from("/");
    let mut left: Vec<PathBuf> = words(path).rev().collect();
    let mut links = 0;
    let mut at = find(root, &found)?;
    while let Some(word) = left.pop() {
        let next = found.join(&word);
        match find(root, &next) {
            Ok(there) => {
                at = there;
                found = next;
            }
            Err(Errno::NOENT) => match readlinkat(&at, &word, Vec::new()) {
                Ok(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = Path::new(target.to_str().map_err(io::Error::other)?);
                    if target.is_absolute() {
                        found = PathBuf::from("/");
                        at = find(root, &found)?;
                    }
                    left.extend(words(target).rev());
                }
                Err(_) => {
                    make(
                        &at,
                        &word,
                        if left.is_empty() {
                            kind
                        } else {
                            Kind::Directory
                        },
                    )?;
                    left.push(word);
                }
            },
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(at)
}

/// The names in a path, `..` included.
fn words(path: &Path) -> impl DoubleEndedIterator<Item = PathBuf> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

fn make(at: &OwnedFd, name: &Path, kind: Kind) -> io::Result<()> {
    match kind {
        Kind::Directory => mkdirat(at, name, Mode::from_raw_mode(0o755))?,
        Kind::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o644);
            openat2(at, name, flags, mode, ResolveFlags::NO_SYMLINKS)?;
        }
    }
    Ok(())
}

/// A copy of a mount, attached nowhere yet.
pub fn copy_mount(source: impl AsFd, path: &str, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags |= OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(source, path, flags)
}

/// As [`copy_mount`], of a path that is podnet's own or the machine's.
pub fn copy_of(path: &str) -> Result<OwnedFd, Errno> {
    copy_mount(CWD, path, false)
}

pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}
