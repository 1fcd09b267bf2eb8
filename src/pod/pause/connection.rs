//! One who speaks [`protocol`](crate::pod::protocol) with the pause process.
//!
//! Neither a request without end nor a reader that does not read makes it hold
//! more than a fixed amount, and it waits for nobody.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;

use crate::pod::protocol::{MAX_LINE, Reply, Request};
use crate::pod::wire;

/// What waits for one reader: some thousand changes of containers.
const MOST_UNSENT_BYTES: usize = 256 * 1024;
/// Descriptors that no request has claimed yet.
const MOST_DESCRIPTORS: usize = 8;

#[derive(Debug)]
pub struct Connection {
    socket: UnixStream,
    incoming: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    outgoing: VecDeque<Message>,
    unsent_bytes: usize,
    /// It wants every change of a container.
    pub watches: bool,
    /// A request is being answered; the next one waits.
    pub busy: bool,
}

#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    sent: usize,
    descriptor: Option<OwnedFd>,
}

/// The other end is gone, or is not fit to talk to.
#[derive(Debug)]
pub struct Over;

impl Connection {
    pub fn new(socket: UnixStream) -> Connection {
        Connection {
            socket,
            incoming: Vec::new(),
            descriptors: Vec::new(),
            outgoing: VecDeque::new(),
            unsent_bytes: 0,
            watches: false,
            busy: false,
        }
    }

    pub fn has_unsent(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Reads one piece of what is there.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<(), Over> {
        match wire::receive(&self.socket, buffer, &mut self.descriptors) {
            Ok(0) => Err(Over),
            Ok(length) => {
                self.incoming.extend_from_slice(&buffer[..length]);
                let endless =
                    self.incoming.len() > MAX_LINE && !self.incoming[..MAX_LINE].contains(&b'\n');
                match endless || self.descriptors.len() > MOST_DESCRIPTORS {
                    true => Err(Over),
                    false => Ok(()),
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(_) => Err(Over),
        }
    }

    /// The next whole request and the descriptors that came with it.
    pub fn request(&mut self) -> Option<(Result<Request, serde_json::Error>, Vec<OwnedFd>)> {
        let end = self.incoming.iter().position(|byte| *byte == b'\n')?;
        let request = serde_json::from_slice(&self.incoming[..end]);
        self.incoming.drain(..=end);
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        Some((request, std::mem::take(&mut self.descriptors)))
    }

    pub fn reply(&mut self, reply: &Reply, descriptor: Option<OwnedFd>) -> Result<(), Over> {
        let mut bytes = serde_json::to_vec(reply).map_err(|_| Over)?;
        bytes.push(b'\n');
        self.unsent_bytes += bytes.len();
        self.outgoing.push_back(Message {
            bytes,
            sent: 0,
            descriptor,
        });
        self.flush()?;
        match self.unsent_bytes > MOST_UNSENT_BYTES {
            true => Err(Over),
            false => Ok(()),
        }
    }

    /// Sends what the other end takes.
    pub fn flush(&mut self) -> Result<(), Over> {
        while let Some(message) = self.outgoing.front_mut() {
            let descriptors: &[BorrowedFd] = match &message.descriptor {
                Some(descriptor) => &[descriptor.as_fd()],
                None => &[],
            };
            match wire::send(&self.socket, &message.bytes[message.sent..], descriptors) {
                Ok(length) => {
                    self.unsent_bytes -= length;
                    message.sent += length;
                    message.descriptor = None;
                    if message.sent == message.bytes.len() {
                        self.outgoing.pop_front();
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Over),
            }
        }
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
