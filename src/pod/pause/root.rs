//! A container's root file system, put together in a mount namespace of its own.
//!
//! Its layers lie below a private upper layer on a tmpfs, which holds all that
//! the container needs besides and goes with it. (Upper and lower layers on one
//! file system would be refused with ELOOP where a layer is `/`.) No device node
//! that somebody makes in it can be opened: where podnet is root, CAP_MKNOD is
//! the real one, and no devices cgroup is in its way.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount,
    mount_change, move_mount, unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};

use super::inside::{self, Kind, attach, copy_of, find, kind_of};
use super::step::{StartError, Step};
use super::sys::{self, NODEV, RDONLY};

/// In the pod's directory: where each container's child mounts its own tmpfs.
pub const SCRATCH: &str = "scratch";
const ROOT: &str = "scratch/root";
const NULL: &str = "/dev/null";
/// Never looked into by [`NewRoot::piecewise`]: mounted anew in every container.
const MOUNTED_ANEW: [&str; 3] = ["/proc", "/sys", "/dev"];
/// How deep mounts of the machine's are looked for.
const DEEPEST: usize = 3;

pub struct NewRoot {
    root: OwnedFd,
    /// Mounts that are the root file system together.
    parts: Vec<OwnedFd>,
    layers: usize,
}

impl NewRoot {
    /// Expects the pod's directory to be the current one, and a mount namespace
    /// of its own.
    pub fn make(layers: &[PathBuf], hidden: &[PathBuf]) -> Result<NewRoot, StartError> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).step("make the mounts private")?;
        tmpfs(SCRATCH, c"mode=0755").step("mount a tmpfs for the container")?;
        for dir in ["root", "dev", "empty"] {
            directory(&scratch(dir), 0o755)?;
        }
        fs::write(scratch("nothing"), "").step("make an empty file")?;
        let mut made = match overlay(layers, 0) {
            Ok(root) => {
                move_mount(
                    &root,
                    "",
                    CWD,
                    ROOT,
                    MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
                )
                .step("mount the root file system")?;
                NewRoot::of(root)?
            }
            // The machine's mounts below the layer are locked in a user namespace, and
            // overlayfs does not take a layer from which they would be missing.
            Err(Errno::INVAL) if layers.len() == 1 => NewRoot::piecewise(&layers[0], hidden)?,
            Err(errno) => return Err(errno).step("mount the layers over each other"),
        };
        made.separate_usr(layers)?;
        for (number, path) in hidden.iter().enumerate() {
            made.hide(number, path)?;
        }
        Ok(made)
    }

    fn of(root: OwnedFd) -> Result<NewRoot, StartError> {
        let part = root.try_clone().step("keep the root file system")?;
        Ok(NewRoot {
            root,
            parts: vec![part],
            layers: 1,
        })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// A tmpfs with the layer's own directories, each below an upper layer of its own.
    fn piecewise(layer: &Path, hidden: &[PathBuf]) -> Result<NewRoot, StartError> {
        tmpfs(ROOT, c"mode=0755").step("mount the root file system")?;
        let root = open(Path::new(ROOT))?;
        let mut made = NewRoot::of(root)?;
        made.pieces(layer, Path::new("/"), hidden)?;
        Ok(made)
    }

    fn pieces(&mut self, layer: &Path, dir: &Path, hidden: &[PathBuf]) -> Result<(), StartError> {
        let source = layer.join(below(dir));
        for entry in fs::read_dir(&source).step(format_args!("read {}", source.display()))? {
            let entry = entry.step(format_args!("read {}", source.display()))?;
            let inside = dir.join(entry.file_name());
            let target = Path::new(ROOT).join(below(&inside));
            let what = entry
                .metadata()
                .step(format_args!("look at {}", entry.path().display()))?;
            if what.is_symlink() {
                let made = fs::read_link(entry.path()).and_then(|link| symlink(link, &target));
                made.step(format_args!("make the link {}", inside.display()))?;
            } else if what.is_dir() {
                directory(&target, what.permissions().mode() & 0o7777)?;
                let anew = MOUNTED_ANEW.iter().any(|path| inside == Path::new(path));
                if !anew && !hidden.contains(&inside) {
                    self.piece(layer, &inside, hidden)?;
                }
            } else if what.is_file() {
                fs::write(&target, "").step(format_args!("make {}", inside.display()))?;
                self.bind_read_only(&entry.path(), &target)?;
            }
        }
        Ok(())
    }

    fn piece(&mut self, layer: &Path, dir: &Path, hidden: &[PathBuf]) -> Result<(), StartError> {
        let source = layer.join(below(dir));
        let target = Path::new(ROOT).join(below(dir));
        self.layers += 1;
        match overlay(std::slice::from_ref(&source), self.layers) {
            Ok(mount) => {
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                move_mount(&mount, "", CWD, &target, flags)
                    .step(format_args!("mount {}", dir.display()))?;
                self.parts.push(mount);
                Ok(())
            }
            Err(Errno::INVAL) if dir.components().count() <= DEEPEST => {
                self.pieces(layer, dir, hidden)
            }
            Err(Errno::INVAL) => self.bind_read_only(&source, &target),
            Err(errno) => Err(errno).step(format_args!("lay a layer over {}", dir.display())),
        }
    }

    fn bind_read_only(&self, source: &Path, target: &Path) -> Result<(), StartError> {
        let fd = open(source)?;
        let bound = inside::copy_mount(&fd, "", true)
            .and_then(|copy| {
                sys::restrict_mount(&copy, RDONLY | NODEV, true).map_err(back)?;
                Ok(copy)
            })
            .and_then(|copy| attach(copy, open_raw(target)?));
        bound.step(format_args!("mount {}", source.display()))
    }

    /// A `/usr` that is a file system of its own is not in an overlay over `/`.
    fn separate_usr(&mut self, layers: &[PathBuf]) -> Result<(), StartError> {
        if self.parts.len() > 1 || !layers.iter().any(|layer| layer == Path::new("/")) {
            return Ok(());
        }
        match (fs::metadata("/"), fs::metadata("/usr")) {
            (Ok(root), Ok(usr)) if root.dev() != usr.dev() => {
                self.bind_read_only(Path::new("/usr"), &Path::new(ROOT).join("usr"))
            }
            _ => Ok(()),
        }
    }

    fn hide(&mut self, number: usize, path: &Path) -> Result<(), StartError> {
        let what = format_args!("hide {}", path.display()).to_string();
        let there = match find(&self.root, path) {
            Ok(there) => there,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(errno).step(what),
        };
        let empty = scratch(&format!("hidden-{number}"));
        match kind_of(&there).step(&what)? {
            Kind::Directory => {
                let mode = rustix::fs::fstat(&there).step(&what)?.st_mode;
                directory(&empty, mode & 0o7777)?;
            }
            Kind::File => fs::write(&empty, "").step(&what)?,
        }
        let copy = inside::copy_mount(open(&empty)?, "", false).step(&what)?;
        attach(&copy, there).step(&what)?;
        self.parts.push(copy);
        Ok(())
    }

    /// Over what was mounted in the meantime, this has no effect.
    pub fn make_read_only(&self) -> Result<(), StartError> {
        self.parts.iter().try_for_each(|part| {
            sys::restrict_mount(part, RDONLY, false).step("make the root file system read-only")
        })
    }

    /// From here on there is no path to what was the root before.
    pub fn enter(self) -> Result<(), StartError> {
        fchdir(&self.root).step("enter the root file system")?;
        // The old root comes to lie over the new one and is taken off: pivot_root(2), NOTES.
        pivot_root(".", ".").step("change the root file system")?;
        unmount(".", UnmountFlags::DETACH).step("let go of the old root file system")?;
        chdir("/").step("enter the root file system")
    }
}

/// Below the tmpfs of this container.
pub fn scratch(name: &str) -> PathBuf {
    Path::new(SCRATCH).join(name)
}

pub fn directory(path: &Path, mode: u32) -> Result<(), StartError> {
    fs::DirBuilder::new()
        .mode(mode)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .step(format_args!("make {}", path.display()))
}

pub fn open(path: &Path) -> Result<OwnedFd, StartError> {
    open_raw(path).step(format_args!("open {}", path.display()))
}

fn open_raw(path: &Path) -> Result<OwnedFd, Errno> {
    use rustix::fs::{Mode, OFlags, open};
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

fn back(errno: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}

fn below(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

pub fn tmpfs(target: impl AsRef<Path>, options: &std::ffi::CStr) -> Result<(), Errno> {
    mount(
        "tmpfs",
        target.as_ref(),
        "tmpfs",
        MountFlags::NODEV,
        options,
    )
}

/// A copy of a machine's device. Read-only, it can be written to as before, but its
/// mode and owner, which are the machine's, stay (mount(2), `MS_RDONLY`).
pub fn device(name: &str) -> io::Result<OwnedFd> {
    let copy = copy_of(&format!("/dev/{name}"))?;
    sys::restrict_mount(&copy, RDONLY, false)?;
    Ok(copy)
}

/// Has [`null`] give the protected copy, in the mount namespace of the caller.
pub fn protect_null() -> io::Result<()> {
    Ok(attach(device("null")?, open_raw(Path::new(NULL))?)?)
}

/// What a container may have as a standard stream; after [`protect_null`].
pub fn null() -> io::Result<OwnedFd> {
    let file = fs::File::options().read(true).write(true).open(NULL)?;
    Ok(file.into())
}

/// Whether it is the machine's /dev/null, by whatever mount.
pub fn is_null(fd: impl AsFd) -> io::Result<bool> {
    let found = rustix::fs::fstat(fd)?;
    let kind = rustix::fs::FileType::from_raw_mode(found.st_mode);
    let device = rustix::fs::makedev(1, 3);
    Ok(kind == rustix::fs::FileType::CharacterDevice && found.st_rdev == device)
}

/// An overlay that is attached nowhere. `number` tells its upper layer from others.
fn overlay(layers: &[PathBuf], number: usize) -> Result<OwnedFd, Errno> {
    match overlay_with(layers, number, true) {
        // Older kernels do not know the option; where podnet is root they need none.
        Err(Errno::INVAL) => overlay_with(layers, number, false),
        other => other,
    }
}

fn overlay_with(layers: &[PathBuf], number: usize, userxattr: bool) -> Result<OwnedFd, Errno> {
    let upper = scratch(&format!("upper-{number}"));
    let work = scratch(&format!("work-{number}"));
    for dir in [&upper, &work] {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
            }
            _ => {}
        }
    }
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    if let Err(errno) = layers
        .iter()
        .try_for_each(|layer| fsconfig_set_string(&fs, "lowerdir+", layer))
    {
        if errno != Errno::INVAL {
            return Err(errno);
        }
        // Since Linux 6.7 only.
        fsconfig_set_string(&fs, "lowerdir", joined(layers)?)?;
    }
    fsconfig_set_string(&fs, "upperdir", &upper)?;
    fsconfig_set_string(&fs, "workdir", &work)?;
    if userxattr {
        fsconfig_set_flag(&fs, "userxattr")?;
    }
    fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// With what separates layers escaped (overlayfs.rst, "Multiple lower layers").
fn joined(layers: &[PathBuf]) -> Result<CString, Errno> {
    use std::os::unix::ffi::OsStrExt;
    let mut joined = Vec::new();
    for layer in layers {
        if !joined.is_empty() {
            joined.push(b':');
        }
        for byte in layer.as_os_str().as_bytes() {
            if matches!(byte, b':' | b'\\' | b',') {
                joined.push(b'\\');
            }
            joined.push(*byte);
        }
    }
    CString::new(joined).map_err(|_| Errno::INVAL)
}
