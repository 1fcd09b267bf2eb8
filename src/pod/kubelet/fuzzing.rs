//! What clients send over streams: whatever pieces it comes in, it means the same.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use super::spdy::fuzzing::spdy;
pub use super::websocket::fuzzing::websocket;

/// A client that has sent all it will, and of whom no more than a piece is read at a time.
pub struct Client<'a> {
    unread: &'a [u8],
    /// Taken in turn.
    pieces: [usize; 2],
    /// What it was told.
    pub told: Vec<u8>,
}

impl<'a> Client<'a> {
    pub fn at_once(sent: &'a [u8]) -> Client<'a> {
        Client::in_pieces(sent, [usize::MAX; 2])
    }

    pub fn in_pieces(sent: &'a [u8], pieces: [usize; 2]) -> Client<'a> {
        Client {
            unread: sent,
            pieces,
            told: Vec::new(),
        }
    }
}

/// The sizes of pieces that the first two bytes of `input` ask for, and what follows them.
pub fn pieces(input: &[u8]) -> Option<([usize; 2], &[u8])> {
    let (sizes, sent) = input.split_first_chunk::<2>()?;
    Some((sizes.map(|size| 1 + usize::from(size)), sent))
}

impl AsyncRead for Client<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let client = self.get_mut();
        let length = client
            .unread
            .len()
            .min(client.pieces[0])
            .min(buffer.remaining());
        client.pieces.swap(0, 1);
        let (piece, rest) = client.unread.split_at(length);
        buffer.put_slice(piece);
        client.unread = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.told.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
