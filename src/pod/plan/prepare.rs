//! Carrying out a pod's preparations.
//!
//! What containers can write to is never walked through: of a volume only its own
//! directory is touched, and what a hostPath names is looked up beneath where it begins.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2};
use rustix::io::Errno;
use thiserror::Error;

use super::host_path::POD_LOGS;
use super::volume::{HostPathKind, Preparation, ProjectedFile};

/// The link through which all files of a projected volume are seen.
const CURRENT: &str = "..data";
const CURRENT_NEW: &str = "..data_new";
const NOT_THE_MACHINES: &str = " in the node's own tree, which begins empty; to mean the machine's path, \
     name it under `hostPaths` in the lab file";

#[derive(Debug, Error)]
pub enum PrepareError {
    #[error("cannot {step} {}", path.display())]
    Path {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("volume {volume:?}: hostPath type check failed: {} {why}", path.display())]
    HostPath {
        volume: String,
        path: PathBuf,
        why: String,
    },
}

impl PrepareError {
    pub fn reason(&self) -> &'static str {
        "FailedMount"
    }
}

/// Makes it all below `dir`, the pod's directory. Idempotent; a projected volume changes as a
/// whole or not at all. Of a tmpfs only the place for it is made.
pub fn prepare(dir: &Path, preparations: &[Preparation]) -> Result<(), PrepareError> {
    for preparation in preparations {
        match preparation {
            Preparation::Directory { path, mode, group } => {
                directory(&dir.join(path), *mode, *group)?;
            }
            Preparation::Tmpfs { path, .. } => directory(&dir.join(path), 0o777, None)?,
            Preparation::File {
                path,
                contents,
                mode,
            } => {
                let path = dir.join(path);
                file(&path, contents.as_bytes(), *mode).map_err(at("write", &path))?;
            }
            Preparation::Projected { path, files } => project(&dir.join(path), files)?,
            Preparation::Host {
                volume,
                base,
                below,
                kind,
                own_tree,
            } => {
                if *own_tree {
                    parents(base)?;
                }
                let checked = match *own_tree {
                    true => place_for_logs(base, below),
                    false => Ok(()),
                };
                let checked = checked.and_then(|()| host_path(base, below, *kind));
                checked.map_err(|why| {
                    let (within, hint) = match own_tree {
                        true => (Path::new("/"), NOT_THE_MACHINES),
                        false => (base.as_path(), ""),
                    };
                    PrepareError::HostPath {
                        volume: volume.clone(),
                        path: within.join(below),
                        why: format!("{why}{hint}"),
                    }
                })?;
            }
        }
    }
    Ok(())
}

fn at(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrepareError {
    let path = path.to_owned();
    move |source| PrepareError::Path { step, path, source }
}

fn parents(path: &Path) -> Result<(), PrepareError> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(at("make", path))
}

/// What is there stays as it is: a container may have changed its mode.
fn directory(path: &Path, mode: u32, group: Option<u32>) -> Result<(), PrepareError> {
    if let Some(parent) = path.parent() {
        parents(parent)?;
    }
    match DirBuilder::new().create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(at("make", path)(error)),
    }
    match group.map(|gid| std::os::unix::fs::chown(path, None, Some(gid))) {
        // A group that an ordinary user's lab does not have; the mode lets everybody write.
        Some(Err(error)) if !is_unmapped(&error) => {
            return Err(at("change the group of", path)(error));
        }
        _ => {}
    }
    // The mode that it was made with had the process's umask taken off.
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at("set the mode of", path))
}

fn is_unmapped(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(nix::libc::EINVAL | nix::libc::EPERM)
    )
}

/// In place: a running container has the file itself mounted, not its name.
fn file(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    // The length first: a container may have written there without end.
    let as_long = fs::metadata(path).is_ok_and(|there| there.len() == contents.len() as u64);
    if as_long && fs::read(path).is_ok_and(|there| there == contents) {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    file.write_all(contents)?;
    file.set_permissions(Permissions::from_mode(mode))
}

/// As the kubelet lays them out: `key` → `..data/key`, `..data` → `..7`, so that turning one
/// link changes all files at once.
fn project(dir: &Path, files: &[ProjectedFile]) -> Result<(), PrepareError> {
    directory(dir, 0o755, None)?;
    let link = dir.join(CURRENT);
    let current = fs::read_link(&link).ok();
    if current
        .as_ref()
        .is_some_and(|version| is_same(&dir.join(version), files))
    {
        return Ok(());
    }
    let number = current
        .as_ref()
        .and_then(|version| version.to_str()?.strip_prefix("..")?.parse().ok());
    let version = format!("..{}", number.unwrap_or(0u64) + 1);
    let new = dir.join(&version);
    // What an earlier attempt left.
    let _ = fs::remove_dir_all(&new);
    directory(&new, 0o755, None)?;
    for projected in files {
        let path = new.join(&projected.path);
        if let Some(parent) = path.parent() {
            parents(parent)?;
        }
        file(&path, &projected.contents, projected.mode).map_err(at("write", &path))?;
    }
    let next = dir.join(CURRENT_NEW);
    let _ = fs::remove_file(&next);
    symlink(&version, &next).map_err(at("link", &next))?;
    fs::rename(&next, &link).map_err(at("link", &link))?;
    name(dir, files)?;
    if let Some(old) = current {
        let _ = fs::remove_dir_all(dir.join(old));
    }
    Ok(())
}

fn is_same(version: &Path, files: &[ProjectedFile]) -> bool {
    let as_wanted = |file: &ProjectedFile| {
        let path = version.join(&file.path);
        let mode = fs::metadata(&path).map(|found| found.permissions().mode() & 0o777);
        fs::read(&path).is_ok_and(|there| there == file.contents)
            && mode.is_ok_and(|mode| mode == file.mode)
    };
    files.iter().all(as_wanted) && count(version) == files.len()
}

fn count(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let inside = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => count(&entry.path()),
        _ => 1,
    };
    entries.map(inside).sum()
}

/// Links for the names that are wanted, and none for those that are not.
fn name(dir: &Path, files: &[ProjectedFile]) -> Result<(), PrepareError> {
    let first = |file: &ProjectedFile| {
        file.path
            .components()
            .next()
            .map(|c| PathBuf::from(c.as_os_str()))
    };
    let mut wanted: Vec<PathBuf> = files.iter().filter_map(first).collect();
    wanted.dedup();
    for entry in fs::read_dir(dir).map_err(at("list", dir))?.flatten() {
        let name = PathBuf::from(entry.file_name());
        let ours = name.to_string_lossy().starts_with("..");
        if !ours && !wanted.contains(&name) {
            fs::remove_file(entry.path()).map_err(at("remove", &entry.path()))?;
        }
    }
    for name in wanted {
        let link = dir.join(&name);
        match symlink(Path::new(CURRENT).join(&name), &link) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(at("link", &link)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where the pods' logs are mounted, if `below` has them in it.
fn place_for_logs(base: &Path, below: &Path) -> Result<(), String> {
    let logs = Path::new(POD_LOGS.trim_start_matches('/'));
    if !logs.starts_with(below) {
        return Ok(());
    }
    let base = File::open(base).map_err(|error| format!("cannot be opened: {error}"))?;
    make_directories(&base, logs).map_err(lookup)
}

/// In the kubelet's words what is wrong with it.
fn host_path(base: &Path, below: &Path, kind: HostPathKind) -> Result<(), String> {
    let base = match File::open(base) {
        Ok(base) => base,
        Err(_) if kind == HostPathKind::Unchecked && below.as_os_str().is_empty() => return Ok(()),
        Err(error) => return Err(format!("cannot be opened: {error}")),
    };
    if below.as_os_str().is_empty() {
        let found = fstat(&base).map_err(|errno| format!("cannot be looked at: {errno}"))?;
        return check(FileType::from_raw_mode(found.st_mode), kind);
    }
    match find(&base, below) {
        Ok(found) => {
            let found = fstat(&found).map_err(|errno| format!("cannot be looked at: {errno}"))?;
            check(FileType::from_raw_mode(found.st_mode), kind)
        }
        Err(Errno::NOENT) => make(&base, below, kind),
        Err(errno) => Err(lookup(errno)),
    }
}

fn check(found: FileType, kind: HostPathKind) -> Result<(), String> {
    let (wanted, name) = match kind {
        HostPathKind::Unchecked => return Ok(()),
        HostPathKind::Directory | HostPathKind::DirectoryOrCreate => {
            (FileType::Directory, "directory")
        }
        HostPathKind::File | HostPathKind::FileOrCreate => (FileType::RegularFile, "file"),
        HostPathKind::Socket => (FileType::Socket, "socket"),
    };
    match found == wanted {
        true => Ok(()),
        false => Err(format!("is not a {name}")),
    }
}

fn find(base: &File, below: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(
        base,
        below,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )
}

fn make(base: &File, below: &Path, kind: HostPathKind) -> Result<(), String> {
    match kind {
        HostPathKind::Unchecked => Ok(()),
        HostPathKind::DirectoryOrCreate => make_directories(base, below).map_err(lookup),
        HostPathKind::FileOrCreate => {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            match openat2(base, below, flags, Mode::from_raw_mode(0o644), resolve) {
                Ok(_) => Ok(()),
                Err(Errno::NOENT) => Err("is in a directory that does not exist".to_owned()),
                Err(errno) => Err(lookup(errno)),
            }
        }
        HostPathKind::Directory => check(FileType::Unknown, kind),
        HostPathKind::File | HostPathKind::Socket => check(FileType::Unknown, kind),
    }
}

fn make_directories(base: &File, below: &Path) -> Result<(), Errno> {
    let mut made = PathBuf::new();
    for component in below.components() {
        let parent = match made.as_os_str().is_empty() {
            true => rustix::io::dup(base)?,
            false => find(base, &made)?,
        };
        made.push(component);
        match mkdirat(
            &parent,
            Path::new(component.as_os_str()),
            Mode::from_raw_mode(0o755),
        ) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn lookup(errno: Errno) -> String {
    match errno {
        Errno::XDEV | Errno::LOOP => "leads out of the tree it is in, through a link".to_owned(),
        Errno::NOTDIR => "goes through a file".to_owned(),
        errno => format!("cannot be used: {errno}"),
    }
}

#[cfg(test)]
mod tests;
