//! Taking away what pods and images left on disk, whatever modes they gave it.
//!
//! Only root removes files from a directory that nobody may write to. The root of an
//! ordinary user's lab is nobody any more once the lab is down; but all it left is that
//! user's, who may change the modes.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, openat, statat};
use rustix::io::Errno;

/// A directory with all that is in it, or a file; nothing is fine. Links are not followed.
/// Nobody may be at work in there.
pub fn tree(path: &Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(CWD, path)?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Lets the owner into a directory and all that are in it. A directory at a time is held
/// open for each level: names on the way may be longer than a path can be.
fn open_up(parent: BorrowedFd<'_>, name: &Path) -> Result<(), Errno> {
    let dir = enter(parent, name)?;
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
        if name != Path::new(".") && name != Path::new("..") && is_dir(dir.as_fd(), name)? {
            open_up(dir.as_fd(), name)?;
        }
    }
    Ok(())
}

fn enter(parent: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd, Errno> {
    chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn is_dir(parent: BorrowedFd<'_>, name: &Path) -> Result<bool, Errno> {
    let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}
