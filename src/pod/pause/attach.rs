//! Those who listen to a container, and type into it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, read, write};

use crate::pod::protocol::Ended;

use super::lines::Stream;

/// What is kept for one who does not read. Beyond it the container waits.
const MOST_PENDING_BYTES: usize = 64 * 1024;
/// What is taken at once from who types.
const PIECE: usize = 4096;

pub struct Attachment {
    pub container: String,
    pub stdout: Option<Sink>,
    pub stderr: Option<Sink>,
    pub input: Option<Input>,
    /// The container is over; what it said is still being handed on.
    pub ended: Option<Ended>,
}

pub struct Sink {
    pub fd: OwnedFd,
    pending: Vec<u8>,
}

pub struct Input {
    pub from: OwnedFd,
    pending: Vec<u8>,
}

impl Attachment {
    pub fn sink(&mut self, stream: Stream) -> &mut Option<Sink> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    pub fn hear(&mut self, stream: Stream, bytes: &[u8]) {
        let sink = self.sink(stream);
        if let Some(open) = sink
            && open.push(bytes).is_err()
        {
            *sink = None;
        }
    }

    pub fn is_full(&self, stream: Stream) -> bool {
        let sink = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        sink.as_ref()
            .is_some_and(|sink| sink.pending.len() >= MOST_PENDING_BYTES)
    }

    pub fn is_done(&self) -> bool {
        let sinks = [&self.stdout, &self.stderr];
        self.ended.is_some() && !sinks.into_iter().flatten().any(Sink::has_pending)
    }
}

impl Sink {
    pub fn new(fd: OwnedFd) -> Sink {
        Sink {
            fd,
            pending: Vec::new(),
        }
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// An error: nobody reads it any more.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.pending.extend_from_slice(bytes);
        self.flush()
    }

    pub fn flush(&mut self) -> Result<(), Errno> {
        write_out(&self.fd, &mut self.pending)
    }
}

impl Input {
    pub fn new(from: OwnedFd) -> Input {
        Input {
            from,
            pending: Vec::new(),
        }
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Hands on a piece. `false`: one of both ends is closed.
    pub fn pump(&mut self, to: impl AsFd) -> bool {
        if self.pending.is_empty() {
            let mut piece = vec![0; PIECE];
            match read(&self.from, &mut piece) {
                Ok(0) => return false,
                Ok(length) => piece.truncate(length),
                Err(Errno::AGAIN | Errno::INTR) => return true,
                Err(_) => return false,
            }
            self.pending = piece;
        }
        write_out(to, &mut self.pending).is_ok()
    }
}

/// Writes what is taken; the rest stays.
fn write_out(to: impl AsFd, pending: &mut Vec<u8>) -> Result<(), Errno> {
    let mut written = 0;
    let result = loop {
        if written == pending.len() {
            *pending = Vec::new();
            return Ok(());
        }
        match write(&to, &pending[written..]) {
            Ok(length) => written += length,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break Ok(()),
            Err(errno) => break Err(errno),
        }
    };
    pending.drain(..written);
    result
}
