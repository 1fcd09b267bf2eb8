//! What is mounted over a container's root file system.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::pod::bundle::{Bundle, Mount};

use super::inside::{Kind, attach, copy_mount, copy_of, find, find_or_make, kind_of};
use super::root::{NewRoot, device, directory, open, scratch, tmpfs};
use super::step::{StartError, Step};
use super::sys::{self, NODEV, NOEXEC, NOSUID, RDONLY};

/// The pod's shared memory, in its directory.
pub const SHM: &str = "shm";
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// The group `tty`, whose members may write to terminals.
const TTY_GROUP: u32 = 5;

/// Everything, in the order that [`Bundle`] promises.
pub fn make(root: &NewRoot, bundle: &Bundle, tty_group: bool) -> Result<(), StartError> {
    devices(root, tty_group)?;
    kernel(root)?;
    for mount in &bundle.mounts {
        bind(root, mount).step(format_args!(
            "mount {} at {}",
            mount.source.join(&mount.below).display(),
            mount.target.display()
        ))?;
    }
    for path in &bundle.root.masked {
        mask(root, path).step(format_args!("mask {}", path.display()))?;
    }
    for path in &bundle.root.read_only_paths {
        protect(root, path).step(format_args!("make {} read-only", path.display()))?;
    }
    Ok(())
}

/// Whether the group of terminals exists here.
pub fn tty_group(map: &super::user::IdMap) -> bool {
    map.has(TTY_GROUP)
}

fn devices(root: &NewRoot, tty_group: bool) -> Result<(), StartError> {
    let dev = scratch("dev");
    for name in DEVICES {
        let file = dev.join(name);
        let copied = std::fs::write(&file, "").and_then(|()| device(name));
        let copied = copied.and_then(|copy| {
            let target = open(&file).map_err(io::Error::other)?;
            Ok(attach(copy, target)?)
        });
        copied.step(format_args!("mount /dev/{name}"))?;
    }
    for (name, target) in DEVICE_LINKS {
        symlink(target, dev.join(name)).step(format_args!("make /dev/{name}"))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        directory(&dev.join(name), 0o755)?;
    }
    let no_programs = MountFlags::NOSUID | MountFlags::NOEXEC;
    let options = match tty_group {
        true => c"newinstance,ptmxmode=0666,mode=620,gid=5",
        false => c"newinstance,ptmxmode=0666,mode=620",
    };
    mount("devpts", dev.join("pts"), "devpts", no_programs, options).step("mount /dev/pts")?;
    let flags = no_programs | MountFlags::NODEV;
    match mount("mqueue", dev.join("mqueue"), "mqueue", flags, None) {
        // A kernel without it.
        Err(Errno::NODEV) => {}
        other => other.step("mount /dev/mqueue")?,
    }
    copy_of(SHM)
        .and_then(|copy| attach(copy, open_or(&dev.join("shm"))?))
        .step("mount /dev/shm")?;
    let whole = copy_mount(CWD, "scratch/dev", true).step("copy /dev")?;
    sys::restrict_mount(&whole, NOSUID | NOEXEC, false).step("protect /dev")?;
    put(root, whole, Path::new("/dev")).step("mount /dev")
}

fn open_or(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

fn kernel(root: &NewRoot) -> Result<(), StartError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let proc = scratch("proc");
    directory(&proc, 0o555)?;
    mount("proc", &proc, "proc", flags, None).step("mount /proc")?;
    put_tree(root, "scratch/proc", Path::new("/proc")).step("mount /proc")?;
    let sys = scratch("sys");
    directory(&sys, 0o555)?;
    let read_only = flags | MountFlags::RDONLY;
    // Refused where the network namespace or the mounts of /sys are not ours.
    if mount("sysfs", &sys, "sysfs", read_only, None).is_err() {
        let options = c"mode=0555,nr_inodes=1";
        tmpfs(&sys, options).step("mount /sys")?;
        let made = open(&sys)?;
        sys::restrict_mount(&made, RDONLY | NOEXEC | NOSUID, false).step("protect /sys")?;
    }
    put_tree(root, "scratch/sys", Path::new("/sys")).step("mount /sys")
}

fn put_tree(root: &NewRoot, source: &str, target: &Path) -> io::Result<()> {
    put(root, copy_mount(CWD, source, true)?, target)
}

/// Mounts a copy at a path of the container, after the copy's own kind.
fn put(root: &NewRoot, copy: OwnedFd, target: &Path) -> io::Result<()> {
    let place = find_or_make(root.fd(), target, kind_of(&copy)?)?;
    Ok(attach(copy, place)?)
}

fn bind(root: &NewRoot, mount: &Mount) -> io::Result<()> {
    let mut source = source(&mount.source)?;
    if !mount.below.as_os_str().is_empty() {
        source = find_or_make(source.as_fd(), &mount.below, Kind::Directory)?;
    }
    let copy = copy_mount(&source, "", true)?;
    let read_only = if mount.read_only { RDONLY } else { 0 };
    sys::restrict_mount(&copy, NODEV | read_only, true)?;
    put(root, copy, &mount.target)
}

/// What is in the pod's directory may have been filled by containers: its first
/// two names (`volumes/NAME`) are no links, and links below do not lead out of there.
fn source(path: &Path) -> io::Result<OwnedFd> {
    if path.is_absolute() {
        return Ok(open_or(path)?);
    }
    let names: Vec<Component<'_>> = path.components().collect();
    let (own, rest) = names.split_at(names.len().min(2));
    let own: PathBuf = own.iter().collect();
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let volume = openat2(CWD, &own, flags, Mode::empty(), how)?;
    if rest.is_empty() {
        return Ok(volume);
    }
    let rest: PathBuf = rest.iter().collect();
    Ok(find(volume.as_fd(), &rest)?)
}

/// `None`: it is not there.
fn present(root: &NewRoot, path: &Path) -> io::Result<Option<OwnedFd>> {
    match find(root.fd(), path) {
        Ok(there) => Ok(Some(there)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn mask(root: &NewRoot, path: &Path) -> io::Result<()> {
    let Some(there) = present(root, path)? else {
        return Ok(());
    };
    let cover = match kind_of(&there)? {
        Kind::Directory => {
            let empty = copy_of("scratch/empty")?;
            sys::restrict_mount(&empty, RDONLY, false)?;
            empty
        }
        Kind::File => device("null")?,
    };
    Ok(attach(cover, there)?)
}

fn protect(root: &NewRoot, path: &Path) -> io::Result<()> {
    let Some(there) = present(root, path)? else {
        return Ok(());
    };
    let copy = copy_mount(&there, "", true)?;
    sys::restrict_mount(&copy, RDONLY, true)?;
    Ok(attach(copy, there)?)
}
