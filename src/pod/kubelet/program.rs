//! A program's streams, joined to a client's console.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use rustix::io::Errno;
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::console::{Console, Input, Output, Size};

const BLOCK_BYTES: usize = 32 << 10;

/// What of a program can be reached. Its descriptors must not block.
#[derive(Debug, Default)]
pub struct Program {
    pub stdin: Option<AsyncFd<OwnedFd>>,
    pub stdout: Option<AsyncFd<OwnedFd>>,
    pub stderr: Option<AsyncFd<OwnedFd>>,
    /// Whose size can be set.
    pub terminal: Option<OwnedFd>,
}

impl Program {
    /// Carries bytes both ways until the program has ended and its output is told, or the client is
    /// gone. `ended` says how it ended; it is dropped, never awaited, once the client is gone.
    pub async fn run(self, console: Console, ended: impl Future<Output = Value>) {
        let Console { input, output } = console;
        let over = CancellationToken::new();
        let ends = async {
            let status = ended.await;
            over.cancel();
            status
        };
        let finished = async {
            let (status, (), ()) = tokio::join!(
                ends,
                tell(self.stdout, Output::Stdout, &output, &over),
                tell(self.stderr, Output::Stderr, &output, &over),
            );
            // A client that is gone needs no last word.
            let _ = output.send(Output::Status(status)).await;
        };
        tokio::select! {
            () = finished => {}
            () = feed(input, self.stdin, self.terminal) => {}
            () = output.closed() => {}
        }
    }
}

/// What the client says, to the program, until the client is gone.
async fn feed(
    mut input: mpsc::Receiver<Input>,
    mut stdin: Option<AsyncFd<OwnedFd>>,
    terminal: Option<OwnedFd>,
) {
    while let Some(said) = input.recv().await {
        match said {
            Input::Stdin(bytes) => {
                if let Some(open) = &stdin
                    && write_all(open, &bytes).await.is_err()
                {
                    // It does not read any more; what else it does is still to be told.
                    stdin = None;
                }
            }
            Input::StdinEnds => stdin = None,
            Input::Resize(size) => {
                if let Some(terminal) = &terminal {
                    resize(terminal, size);
                }
            }
        }
    }
}

fn resize(terminal: &OwnedFd, size: Size) {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    if let Err(errno) = tcsetwinsize(terminal, size) {
        tracing::debug!("set a terminal's size: {errno}");
    }
}

async fn write_all(to: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let write = |fd: &OwnedFd| Ok(rustix::io::write(fd.as_fd(), bytes)?);
        let written = to.async_io(Interest::WRITABLE, write).await?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// What the program says, to the client, until its stream ends. Others may hold the stream when
/// the program is over: then all that is in it by that time is told.
async fn tell(
    from: Option<AsyncFd<OwnedFd>>,
    wrap: fn(Bytes) -> Output,
    output: &mpsc::Sender<Output>,
    over: &CancellationToken,
) {
    let Some(from) = from else {
        return;
    };
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let mut read = |fd: &OwnedFd| Ok(rustix::io::read(fd.as_fd(), &mut block[..])?);
        let read: io::Result<usize> = if over.is_cancelled() {
            read(from.get_ref())
        } else {
            tokio::select! {
                read = from.async_io(Interest::READABLE, read) => read,
                () = over.cancelled() => continue,
            }
        };
        match read {
            Ok(0) => return,
            Ok(read) => {
                let bytes = Bytes::copy_from_slice(&block[..read]);
                if output.send(wrap(bytes)).await.is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                // EIO: nobody has the terminal open any more.
                let known = [Errno::IO, Errno::AGAIN].map(Errno::raw_os_error);
                if !error
                    .raw_os_error()
                    .is_some_and(|errno| known.contains(&errno))
                {
                    tracing::debug!("read a program's output: {error}");
                }
                return;
            }
        }
    }
}
