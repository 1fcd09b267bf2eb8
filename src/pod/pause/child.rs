//! From a fork of the pause process to a container's program.
//!
//! Everything here runs in the child. What fails is told over the report, a
//! socket that closes by itself when execve succeeds.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{self, umask};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, execve};
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fchown, fstat, openat2};
use rustix::process::{fchdir, ioctl_tiocsctty, setsid};

use crate::pod::bundle::{Bundle, Process};
use crate::pod::protocol::Reply;
use crate::pod::wire;

use super::inside::{Kind, find, find_or_make};
use super::mounts;
use super::root::NewRoot;
use super::step::{StartError, Step};
use super::sys;
use super::user::{assume, become_user};

/// Where a terminal is made (devpts, `newinstance`).
const TERMINALS: &str = "/dev/pts/ptmx";

/// A program's first three descriptors.
pub enum Stdio {
    /// A new terminal of the container's, whose other side goes into the report.
    Terminal,
    Descriptors([OwnedFd; 3]),
}

/// How a process comes to be in its container.
pub enum Place<'a> {
    New {
        bundle: &'a Bundle,
        own_users: bool,
        tty_group: bool,
    },
    /// Where the first process of a running container is, but for the PID namespace,
    /// in which the child has been born.
    Existing {
        first: &'a OwnedFd,
        process: &'a Process,
        own_users: bool,
    },
}

/// Ends the child if it cannot become the program.
pub fn run(place: &Place<'_>, stdio: Stdio, report: &OwnedFd) -> ! {
    let Err(error) = start(place, stdio, report);
    let refused = Reply::Refused {
        refusal: error.refusal(),
        why: error.to_string(),
    };
    if let Ok(text) = serde_json::to_vec(&refused) {
        // With the pause process gone nobody is left to tell.
        let _ = wire::send(report, &text, &[]);
    }
    sys::end_child()
}

fn start(place: &Place<'_>, stdio: Stdio, report: &OwnedFd) -> Result<Infallible, StartError> {
    sys::reset_signals().step("reset the signals")?;
    setsid().step("start a session")?;
    umask(stat::Mode::from_bits_truncate(0o022));
    match place {
        Place::New {
            bundle,
            own_users,
            tty_group,
        } => {
            let root = NewRoot::make(&bundle.root.layers, &bundle.root.hidden)?;
            mounts::make(&root, bundle, *tty_group)?;
            let process = &bundle.process;
            make_directory(&root, &process.cwd)?;
            if bundle.root.read_only {
                root.make_read_only()?;
            }
            root.enter()?;
            enter_directory(&process.cwd)?;
            connect(stdio, process, *own_users, report)?;
            become_user(process, *own_users)?;
            exec(process)
        }
        Place::Existing {
            first,
            process,
            own_users,
        } => {
            setns(first, CloneFlags::CLONE_NEWNS).step("enter the container")?;
            enter_directory(&process.cwd)?;
            connect(stdio, process, *own_users, report)?;
            if *own_users {
                setns(first, CloneFlags::CLONE_NEWUSER).step("enter the container's users")?;
            }
            assume(process)?;
            exec(process)
        }
    }
}

fn make_directory(root: &NewRoot, path: &Path) -> Result<(), StartError> {
    let made = find_or_make(root.fd(), path, Kind::Directory).map(drop);
    made.step(format_args!(
        "make the working directory {}",
        path.display()
    ))
}

/// This process still sees what the container does not: no link that the container may have
/// put there leads it through /proc to a directory of somebody else's.
fn enter_directory(path: &Path) -> Result<(), StartError> {
    let entered = find(CWD, path).and_then(fchdir);
    entered.step(format_args!(
        "enter the working directory {}",
        path.display()
    ))
}

fn connect(
    stdio: Stdio,
    process: &Process,
    own_users: bool,
    report: &OwnedFd,
) -> Result<(), StartError> {
    let descriptors = match stdio {
        Stdio::Descriptors(descriptors) => descriptors,
        Stdio::Terminal => terminal(report)?,
    };
    for descriptor in &descriptors {
        if !own_users {
            give(descriptor, process).step("give away the standard streams")?;
        }
    }
    let [stdin, stdout, stderr] = descriptors;
    dup2_stdin(stdin)
        .and_then(|()| dup2_stdout(stdout))
        .and_then(|()| dup2_stderr(stderr))
        .step("connect the standard streams")?;
    sys::close_on_exec().step("let go of all descriptors")
}

/// Its user may open them again, as /dev/stdout: only terminals and pipes, which
/// are the container's alone.
fn give(descriptor: &OwnedFd, process: &Process) -> io::Result<()> {
    let mode = fstat(descriptor)?.st_mode;
    let is_pipe = FileType::from_raw_mode(mode) == FileType::Fifo;
    if is_pipe || rustix_isatty(descriptor) {
        let user = &process.user;
        fchown(
            descriptor,
            Some(Uid::from_raw(user.uid)),
            Some(Gid::from_raw(user.gid)),
        )?;
    }
    Ok(())
}

fn rustix_isatty(descriptor: impl AsFd) -> bool {
    nix::unistd::isatty(descriptor).unwrap_or(false)
}

/// Of the container's own terminals, whatever it has put at `/dev/ptmx`.
fn terminal(report: &OwnedFd) -> Result<[OwnedFd; 3], StartError> {
    let what = "make a terminal";
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let ours = openat2(CWD, TERMINALS, flags, Mode::empty(), how).step(what)?;
    let theirs = sys::terminal_peer(&ours).step(what)?;
    ioctl_tiocsctty(&theirs).step("take the terminal")?;
    wire::send(report, b"terminal", &[ours.as_fd()]).step("hand over the terminal")?;
    let copies = || Ok([theirs.try_clone()?, theirs.try_clone()?]);
    let [second, third] = copies().map_err(|error: io::Error| error).step(what)?;
    Ok([theirs, second, third])
}

fn exec(process: &Process) -> Result<Infallible, StartError> {
    let text = |words: &[String]| -> Result<Vec<CString>, StartError> {
        let words = words.iter().map(|word| CString::new(word.as_str()));
        let words: Result<_, _> = words.collect();
        words.step("read the command line and environment")
    };
    let argv = text(&process.argv)?;
    let env = text(&last_of_each(&process.env))?;
    let program = process.argv.first().map_or("", String::as_str);
    let refused = |why: &str| StartError::NoSuchProgram {
        program: program.to_owned(),
        why: why.to_owned(),
    };
    let mut why = match program.contains('/') {
        true => "no such file or directory",
        false => "executable file not found in $PATH",
    };
    for path in candidates(program, &process.env) {
        let path = CString::new(path).step("read the program's name")?;
        match try_exec(&path, &argv, &env) {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => why = "permission denied",
            Errno::ENOEXEC => return Err(refused("exec format error")),
            errno => return Err(errno).step(format_args!("exec {program:?}")),
        }
    }
    Err(refused(why))
}

fn try_exec(path: &CStr, argv: &[CString], env: &[CString]) -> Errno {
    let Err(errno) = execve(path, argv, env);
    errno
}

/// Where a program may be: execvp(3), but by the container's own `PATH`.
fn candidates(program: &str, env: &[String]) -> Vec<String> {
    if program.is_empty() {
        return Vec::new();
    }
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let paths = env
        .iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="));
    let dirs = paths.unwrap_or_default().split(':');
    dirs.filter(|dir| !dir.is_empty())
        .map(|dir| format!("{dir}/{program}"))
        .collect()
}

fn last_of_each(env: &[String]) -> Vec<String> {
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let last: HashMap<String, usize> = env
        .iter()
        .enumerate()
        .map(|(at, entry)| (key(entry), at))
        .collect();
    let all = env.iter().enumerate();
    all.filter(|(at, entry)| last.get(&key(entry)) == Some(at))
        .map(|(_, entry)| entry.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_last_of_a_variable_counts() {
        let env = strings(&["A=1", "B=2", "A=3", "PATH=/x", "PATH=/y::/z"]);
        assert_eq!(last_of_each(&env), ["B=2", "A=3", "PATH=/y::/z"]);
        assert_eq!(candidates("ls", &env), ["/y/ls", "/z/ls"]);
        assert_eq!(candidates("./ls", &env), ["./ls"]);
        assert_eq!(candidates("", &env), [""; 0]);
        assert_eq!(candidates("ls", &[]), [""; 0]);
    }
}
