//! The system calls that no library wraps: all of the pause process' `unsafe`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::signal::SigSet;

/// `MOUNT_ATTR_*` of mount.h.
pub const RDONLY: u64 = 0x1;
pub const NOSUID: u64 = 0x2;
pub const NODEV: u64 = 0x4;
pub const NOEXEC: u64 = 0x8;

/// fork(2) into new namespaces; `None` is the child, `Some` its number here.
///
/// The pause process has one thread, so the child may do whatever its parent may.
pub fn fork_into(namespaces: CloneFlags) -> Result<Option<i32>, Errno> {
    let flags = libc::c_long::from(namespaces.bits() | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and without a stack clone is fork; no other thread's locks
    // are copied in a locked state, since there is no other thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match Errno::result(pid)? {
        0 => Ok(None),
        pid => Ok(i32::try_from(pid).ok()),
    }
}

/// Adds flags to a mount (and to those below it); what is set stays set, so that
/// this works where flags are locked (mount_namespaces(7)).
pub fn restrict_mount(mount: impl AsFd, flags: u64, recursive: bool) -> Result<(), Errno> {
    let attributes = libc::mount_attr {
        attr_set: flags,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is empty and the attributes live through the call, whose size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// What a program expects of signals: Rust ignores SIGPIPE, and the pause
/// process blocks what it reads from a descriptor.
pub fn reset_signals() -> io::Result<()> {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the default handler is none of ours. SIGKILL and the C library's own refuse.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

/// The other side of a pseudo-terminal, unlocked (ioctl_tty(2), `TIOCGPTPEER`): without
/// a name that somebody could have put something else under.
pub fn terminal_peer(terminal: impl AsFd) -> Result<OwnedFd, Errno> {
    let fd = terminal.as_fd().as_raw_fd();
    let unlocked: libc::c_int = 0;
    // SAFETY: the number that is read lives through the call.
    Errno::result(unsafe { libc::ioctl(fd, libc::TIOCSPTLCK, &raw const unlocked) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the flags are a number, and what comes back is one.
    let peer = Errno::result(unsafe { libc::ioctl(fd, libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(peer) })
}

/// Everything but the standard three closes at the next execve.
pub fn close_on_exec() -> Result<(), Errno> {
    // SAFETY: no descriptor is closed here, only marked.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(result).map(drop)
}

/// Ends a child that has not become a program: nothing of its parent's is flushed or dropped.
pub fn end_child() -> ! {
    // SAFETY: _exit only ends the process.
    unsafe { libc::_exit(127) }
}
