//! One request and its replies: lines over a connection, some with descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::net::UnixStream;

use super::{PauseError, io_step, unexpected};
use crate::pod::protocol::{Ended, MAX_LINE, Refusal, Reply, Request};
use crate::pod::wire;

const PIECE_BYTES: usize = 4096;

#[derive(Debug)]
pub struct Talk {
    stream: UnixStream,
    received: Vec<u8>,
    /// What came with the replies and nobody has taken yet.
    pub descriptors: Vec<OwnedFd>,
}

impl Talk {
    pub fn over(stream: UnixStream) -> Talk {
        Talk {
            stream,
            received: Vec::new(),
            descriptors: Vec::new(),
        }
    }

    pub async fn ask(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Reply, PauseError> {
        self.send(request, descriptors).await?;
        self.reply().await
    }

    pub async fn send(
        &mut self,
        request: &Request,
        mut descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), PauseError> {
        const STEP: &str = "ask the pod";
        let bytes = serde_json::to_vec(request).map_err(|error| PauseError::Io {
            step: STEP,
            source: error.into(),
        })?;
        if bytes.len() >= MAX_LINE {
            let why = format!(
                "it takes {} bytes to say what is to run, and {MAX_LINE} is the limit; give it \
                 less environment or a shorter command line",
                bytes.len()
            );
            let refusal = Refusal::Failed;
            return Err(PauseError::Refused { refusal, why });
        }
        let mut left = [&bytes, &b"\n"[..]].concat();
        while !left.is_empty() {
            let sent = self.stream.async_io(Interest::WRITABLE, || {
                Ok(wire::send(&self.stream, &left, descriptors)?)
            });
            let sent = sent.await.map_err(io_step(STEP))?;
            left.drain(..sent);
            descriptors = &[];
        }
        Ok(())
    }

    /// Nothing is lost if this is dropped half-way.
    pub async fn reply(&mut self) -> Result<Reply, PauseError> {
        const STEP: &str = "hear from the pod";
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let reply = serde_json::from_slice(&self.received[..end]);
                self.received.drain(..=end);
                return match reply {
                    Ok(Reply::Refused { refusal, why }) => {
                        Err(PauseError::Refused { refusal, why })
                    }
                    other => other.map_err(|error| PauseError::Io {
                        step: STEP,
                        source: error.into(),
                    }),
                };
            }
            if self.received.len() > MAX_LINE {
                return Err(io_step(STEP)(io::ErrorKind::InvalidData.into()));
            }
            self.receive().await.map_err(io_step(STEP))?;
        }
    }

    async fn receive(&mut self) -> io::Result<()> {
        let Talk {
            stream,
            received,
            descriptors,
        } = self;
        let mut piece = [0; PIECE_BYTES];
        let length = stream.async_io(Interest::READABLE, || {
            Ok(wire::receive(stream.as_fd(), &mut piece, descriptors)?)
        });
        match length.await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended")),
            length => {
                received.extend_from_slice(&piece[..length]);
                Ok(())
            }
        }
    }

    pub async fn exited(&mut self) -> Result<Ended, PauseError> {
        match self.reply().await? {
            Reply::Exited { ended } => Ok(ended),
            other => Err(unexpected(&other)),
        }
    }
}
