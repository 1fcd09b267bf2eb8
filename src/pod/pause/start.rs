//! Becoming a pod.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SIGCHLD, SIGTERM, SigSet};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{dup2_stdout, getpid, sethostname};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use crate::kernel::linux::disable_ipv6;
use crate::pod::{HOST_NETWORK, NO_IPV6, SOCKET};

use super::mounts::SHM;
use super::root::{SCRATCH, protect_null, tmpfs};
use super::step::{StartError, Step};

/// What containers of one pod share in memory, as in Docker.
const SHM_BYTES: u64 = 64 << 20;

#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    pub dir: String,
    pub hostname: String,
    pub ipv6: bool,
    /// The pod stays in its node's network, and has its name.
    pub host_network: bool,
}

impl Arguments {
    pub fn parse(words: &[String]) -> Option<Arguments> {
        let (dir, hostname, flags) = match words {
            [dir, hostname, flags @ ..] => (dir, hostname, flags),
            _ => return None,
        };
        let known = |flag: &String| [NO_IPV6, HOST_NETWORK].contains(&flag.as_str());
        let has = |flag: &str| flags.iter().any(|given| given == flag);
        flags.iter().all(known).then(|| Arguments {
            dir: dir.clone(),
            hostname: hostname.clone(),
            ipv6: !has(NO_IPV6),
            host_network: has(HOST_NETWORK),
        })
    }
}

/// Makes the pod's namespaces and listens in its directory.
pub fn start(arguments: &Arguments) -> Result<(UnixListener, SignalFd), StartError> {
    if getpid().as_raw() != 1 {
        let error = io::Error::other("it has to be process 1 of a PID namespace of its own");
        return Err(error).step("become a pod");
    }
    // The socket's name stays within the 108 bytes that `sun_path` has.
    std::env::set_current_dir(&arguments.dir).step("enter the pod's directory")?;
    if let Err(error) = fs::remove_file(SOCKET)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error).step("remove an old socket");
    }
    namespaces(arguments)?;
    for dir in [SHM, SCRATCH] {
        fs::create_dir_all(dir).step(format_args!("make {dir}"))?;
    }
    shared_memory(Path::new(SHM), Some(SHM_BYTES))?;
    let mut signals = SigSet::empty();
    signals.add(SIGCHLD);
    signals.add(SIGTERM);
    signals.thread_block().step("hold signals back")?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&signals, flags).step("listen to signals")?;
    let listener = UnixListener::bind(SOCKET).step("listen")?;
    listener.set_nonblocking(true).step("listen")?;
    Ok((listener, signals))
}

fn namespaces(arguments: &Arguments) -> Result<(), StartError> {
    let mut namespaces = CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWNS;
    if !arguments.host_network {
        namespaces |= CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    }
    unshare(namespaces).step("make namespaces")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).step("make the mounts private")?;
    protect_null().step("protect /dev/null")?;
    // Of this PID namespace: what containers leave behind is found in it.
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).step("mount /proc")?;
    if arguments.host_network {
        return Ok(());
    }
    sethostname(&arguments.hostname).step("set the host name")?;
    if !arguments.ipv6 {
        disable_ipv6()
            .map_err(io::Error::other)
            .step("switch IPv6 off")?;
    }
    Ok(())
}

/// The agent reads up to the end of the pipe: it is let go of.
pub fn report_ready() -> Result<(), StartError> {
    let mut out = io::stdout();
    out.write_all(b"ready\n")
        .and_then(|()| out.flush())
        .step("report ready")?;
    let null = fs::File::create("/dev/null").step("open /dev/null")?;
    dup2_stdout(null).step("let go of the output")
}

/// A tmpfs at a path in the pod's directory, which is made; once only.
pub fn shared_memory(path: &Path, size_bytes: Option<u64>) -> Result<(), StartError> {
    use std::os::unix::fs::MetadataExt;
    let what = format!("make the shared memory {}", path.display());
    fs::create_dir_all(path).step(&what)?;
    let device = |path: &Path| fs::metadata(path).map(|there| there.dev());
    let around = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let around = device(around.unwrap_or(Path::new("."))).step(&what)?;
    if device(path).step(&what)? != around {
        return Ok(());
    }
    let mut options = "mode=1777".to_owned();
    if let Some(bytes) = size_bytes {
        options.push_str(&format!(",size={bytes}"));
    }
    let options = CString::new(options).step(&what)?;
    tmpfs(path, &options).step(&what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_known_ones() {
        let parse = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Arguments::parse(&words)
        };
        let plain = parse(&["/dir", "web"]).expect("arguments");
        assert!(plain.ipv6 && !plain.host_network);
        let both = parse(&["/dir", "web", NO_IPV6, HOST_NETWORK]).expect("arguments");
        assert!(!both.ipv6 && both.host_network);
        assert_eq!(parse(&["/dir"]), None);
        assert_eq!(parse(&["/dir", "web", "--other"]), None);
    }
}
