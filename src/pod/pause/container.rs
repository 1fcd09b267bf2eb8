//! A container as the pause process keeps it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use jiff::Timestamp;
use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::pod::bundle::{Bundle, PidNamespace, Process};
use crate::pod::protocol;

use super::child::Stdio;
use super::lines::{Lines, Stream};
use super::log::Log;
use super::root::null;
use super::step::{StartError, Step};

/// What is still read of a container that has ended; pipes hold less unless
/// somebody enlarged them.
const LAST_WORDS: usize = 1 << 20;
/// How often what a container left behind is looked for. What forks faster ends
/// with the pod.
const MOST_ROUNDS: usize = 64;

pub struct Container {
    pub status: protocol::Container,
    /// `None`: it has ended.
    pub running: Option<Box<Running>>,
}

pub struct Running {
    pub process: Process,
    /// Its processes are in a user namespace of their own.
    pub own_users: bool,
    pub pids: PidNamespace,
    pub pidfd: Option<OwnedFd>,
    pub outputs: Vec<Output>,
    pub terminal: Option<OwnedFd>,
    pub stdin: Option<OwnedFd>,
    pub stdin_once: bool,
    /// Whether its standard streams are a terminal.
    pub tty: bool,
    mount_namespace: Option<u64>,
    log: Log,
}

pub struct Output {
    pub fd: OwnedFd,
    pub stream: Stream,
    lines: Lines,
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Bytes(usize),
    Nothing,
    End,
}

impl Running {
    /// And the child's sides of its streams.
    pub fn new(bundle: &Bundle, own_users: bool) -> Result<(Running, Stdio), StartError> {
        let mut running = Running {
            process: bundle.process.clone(),
            own_users,
            pids: bundle.pids,
            pidfd: None,
            outputs: Vec::new(),
            terminal: None,
            stdin: None,
            stdin_once: bundle.streams.stdin_once,
            tty: bundle.streams.tty,
            mount_namespace: None,
            log: Log::open(&bundle.log),
        };
        if bundle.streams.tty {
            return Ok((running, Stdio::Terminal));
        }
        let what = "make the standard streams";
        let stdin = if bundle.streams.stdin {
            let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).step(what)?;
            unblock(&ours).step(what)?;
            running.stdin = Some(ours);
            theirs
        } else {
            null().step(what)?
        };
        let stdout = running.output(Stream::Stdout).step(what)?;
        let stderr = running.output(Stream::Stderr).step(what)?;
        Ok((running, Stdio::Descriptors([stdin, stdout, stderr])))
    }

    fn output(&mut self, stream: Stream) -> io::Result<OwnedFd> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        self.read_from(ours, stream)?;
        Ok(theirs)
    }

    fn read_from(&mut self, fd: OwnedFd, stream: Stream) -> io::Result<()> {
        unblock(&fd)?;
        self.outputs.push(Output {
            fd,
            stream,
            lines: Lines::new(stream),
        });
        Ok(())
    }

    /// What will be its program is `pid`. Once that is known to run it may be over already,
    /// and then nobody could tell any more what it left behind.
    pub fn forked(&mut self, pid: i32) {
        self.mount_namespace = mount_namespace(pid);
    }

    /// Its program runs as `pid`.
    pub fn started(&mut self, pid: i32, terminal: Option<OwnedFd>) -> Result<(), StartError> {
        self.pidfd = super::launch::pidfd(pid).ok();
        if let Some(terminal) = terminal {
            let what = "take the terminal";
            self.read_from(terminal.try_clone().step(what)?, Stream::Stdout)
                .step(what)?;
            self.stdin = Some(terminal.try_clone().step(what)?);
            self.terminal = Some(terminal);
        }
        Ok(())
    }

    /// Reads a piece of one output into `buffer` and the log.
    pub fn read(&mut self, output: usize, buffer: &mut [u8]) -> Piece {
        let Some(from) = self.outputs.get_mut(output) else {
            return Piece::Nothing;
        };
        let now = Timestamp::now();
        let mut text = Vec::new();
        let piece = match read(&from.fd, &mut *buffer) {
            Err(Errno::AGAIN | Errno::INTR) => return Piece::Nothing,
            // A terminal that nobody has open any more answers EIO.
            Ok(0) | Err(_) => {
                from.lines.finish(now, &mut text);
                Piece::End
            }
            Ok(length) => {
                from.lines.push(&buffer[..length], now, &mut text);
                Piece::Bytes(length)
            }
        };
        self.log.write(&text, now);
        piece
    }

    /// Ends what it left behind in a PID namespace that others share, and tells
    /// `hear` what it still said.
    pub fn finish(&mut self, buffer: &mut [u8], mut hear: impl FnMut(Stream, &[u8])) {
        if self.pids == PidNamespace::Pod {
            self.end_the_rest();
        }
        for output in 0..self.outputs.len() {
            let stream = self.outputs[output].stream;
            let mut heard = 0;
            while let Piece::Bytes(length) = self.read(output, buffer) {
                hear(stream, &buffer[..length]);
                heard += length;
                if heard > LAST_WORDS {
                    break;
                }
            }
            let mut text = Vec::new();
            let now = Timestamp::now();
            self.outputs[output].lines.finish(now, &mut text);
            self.log.write(&text, now);
        }
    }

    fn end_the_rest(&self) {
        let Some(own) = self.mount_namespace else {
            return;
        };
        for _ in 0..MOST_ROUNDS {
            let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
            let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            let left: Vec<i32> = pids
                .filter(|pid| mount_namespace(*pid) == Some(own))
                .collect();
            if left.is_empty() {
                return;
            }
            for pid in left {
                // It may have ended in the meantime.
                let _ = kill(Pid::from_raw(pid), SIGKILL);
            }
        }
    }
}

/// `None` for what has ended.
fn mount_namespace(pid: i32) -> Option<u64> {
    Some(fs::metadata(format!("/proc/{pid}/ns/mnt")).ok()?.ino())
}

pub fn unblock(fd: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&fd)?;
    Ok(fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?)
}
