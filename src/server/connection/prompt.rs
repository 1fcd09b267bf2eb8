//! A stream whose first bytes have to come in time.
//!
//! hyper bounds the head of a request of HTTP/1.1, but waits for the preface of HTTP/2 for as long as
//! it takes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Reading fails with `TimedOut` if it has not got so many bytes in time, and never after that.
pub struct Prompt<S> {
    stream: S,
    /// How many bytes are still awaited, and until when; `None` once they are there.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<S> Prompt<S> {
    pub fn new(stream: S, bytes: usize, patience: Duration) -> Prompt<S> {
        Prompt {
            stream,
            awaited: (bytes > 0).then(|| (bytes, Box::pin(sleep(patience)))),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some((bytes, deadline)) = &mut self.awaited else {
            return read;
        };
        if read.is_pending() {
            return deadline
                .as_mut()
                .poll(cx)
                .map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        *bytes = bytes.saturating_sub(buffer.filled().len() - before);
        if *bytes == 0 {
            self.awaited = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompt<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
