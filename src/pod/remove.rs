//! Taking away what containers and images left, whatever they made of it.
//!
//! A container can nest directories deeper than a path is long, and deeper than a process may
//! have descriptors, which is how `std::fs::remove_dir_all` goes down. Here each directory
//! is moved up to the top before it is looked into, so that none is ever deep. No link is
//! followed. Only root removes files from a directory that nobody may write to; the root of an
//! ordinary user's lab is nobody once the lab is down, but all it left is that user's, who may
//! change the modes.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, chmodat, fchmod, openat, renameat, unlinkat};
use rustix::io::Errno;

/// A directory with all that is in it, or a file; what is not there is fine. Nobody may be at
/// work in there.
pub fn remove_tree(dir: &Path) -> io::Result<()> {
    let top = match directory(CWD, dir) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR) => return std::fs::remove_file(dir),
        Err(errno) => return Err(errno.into()),
    };
    let mut moved = 0;
    loop {
        let names = names(&top)?;
        if names.is_empty() {
            return std::fs::remove_dir(dir);
        }
        for name in names {
            remove(&top, &name, &mut moved)?;
        }
    }
}

/// One thing in `top`; the directories in it come to lie in `top` themselves.
fn remove(top: &OwnedFd, name: &CStr, moved: &mut u64) -> io::Result<()> {
    if !is_directory_left(top, name)? {
        return Ok(());
    }
    let inner = directory(top, name)?;
    // Refused, it may be needless; what follows tells.
    let _ = fchmod(&inner, Mode::RWXU);
    for below in names(&inner)? {
        while is_directory_left(&inner, &below)? {
            // Its new place is written into it: rename(2), EACCES.
            let _ = chmodat(&inner, &below, Mode::RWXU, AtFlags::empty());
            let target = CString::new(format!("podnet-{moved}"))?;
            *moved += 1;
            match renameat(&inner, &below, top, &target) {
                Ok(()) => break,
                // Somebody thought of that name.
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    Ok(unlinkat(top, name, AtFlags::REMOVEDIR)?)
}

/// Takes it away if it is no directory.
fn is_directory_left(dir: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        Err(Errno::ISDIR) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens it, to its owner if to nobody.
fn directory<P: rustix::path::Arg + Copy>(at: impl AsFd, path: P) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&at, path, flags, Mode::empty()) {
        // Not a link: that would have been refused with ELOOP.
        Err(Errno::ACCESS) => {
            chmodat(&at, path, Mode::RWXU, AtFlags::empty())?;
            openat(&at, path, flags, Mode::empty())
        }
        opened => opened,
    }
}

fn names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::mkdirat;

    use super::*;

    #[test]
    fn depth_links_and_names_are_no_obstacle() {
        let place = tempfile::tempdir().expect("a directory");
        let outside = place.path().join("outside");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("kept"), "").expect("written");
        let tree = place.path().join("pod");
        fs::create_dir_all(tree.join("podnet-0/podnet-1/x")).expect("made");
        fs::write(tree.join("podnet-2"), "").expect("written");
        symlink(&outside, tree.join("podnet-0/link")).expect("made");
        let shut = tree.join("shut/more");
        fs::create_dir_all(&shut).expect("made");
        fs::write(shut.join("file"), "").expect("written");
        for dir in [&shut, &tree.join("shut")] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o0)).expect("shut");
        }
        // Deeper than descriptors go, and than a path is long.
        let mut at = directory(CWD, &tree).expect("opened");
        for _ in 0..5000 {
            mkdirat(&at, "deep", Mode::RWXU).expect("made");
            at = directory(&at, "deep").expect("opened");
        }
        drop(at);
        remove_tree(&tree).expect("removed");
        assert!(!tree.exists());
        assert!(outside.join("kept").exists());
        remove_tree(&tree).expect("nothing is fine");
    }
}
