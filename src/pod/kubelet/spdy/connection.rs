//! A connection's two directions.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::interval;

use super::SpdyError;
use super::frame::{Frame, HEAD_BYTES, Head, Kind, StreamId, control, encode};
use super::headers::{Deflater, Inflater};
use crate::pod::kubelet::console::KEEPALIVE;

const BLOCK_BYTES: usize = 32 << 10;

#[derive(Debug)]
pub struct FrameReader<R> {
    from: R,
    inflater: Inflater,
    /// Of a data frame that was begun: what is still to come.
    data: Option<Head>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub fn new(from: R) -> FrameReader<R> {
        FrameReader {
            from,
            inflater: Inflater::default(),
            data: None,
        }
    }

    /// The next frame, or part of a data frame; `None` at the end. What it has begun to read is
    /// lost if it is not awaited.
    pub async fn next(&mut self) -> Result<Option<Frame>, SpdyError> {
        if let Some(head) = self.data.take() {
            return self.data(head).await.map(Some);
        }
        let mut bytes = [0; HEAD_BYTES];
        if self.from.read(&mut bytes[..1]).await? == 0 {
            return Ok(None);
        }
        self.from.read_exact(&mut bytes[1..]).await?;
        let head = Head::parse(bytes)?;
        let Kind::Control(kind) = head.kind else {
            return self.data(head).await.map(Some);
        };
        let mut payload = vec![0; head.bytes];
        self.from.read_exact(&mut payload).await?;
        control(kind, head.fin(), &payload, &mut self.inflater).map(Some)
    }

    async fn data(&mut self, mut head: Head) -> Result<Frame, SpdyError> {
        let Kind::Data(stream) = head.kind else {
            return Ok(Frame::Other);
        };
        let mut bytes = BytesMut::zeroed(head.bytes.min(BLOCK_BYTES));
        self.from.read_exact(&mut bytes).await?;
        head.bytes -= bytes.len();
        let last = head.bytes == 0;
        self.data = Some(head).filter(|_| !last);
        Ok(Frame::Data {
            stream,
            fin: last && head.fin(),
            bytes: bytes.freeze(),
        })
    }
}

/// Writes frames up to a [`Frame::GoAway`]; sees to it that a client that is gone is noticed.
pub async fn write(
    mut to: impl AsyncWrite + Unpin,
    mut frames: mpsc::Receiver<Frame>,
) -> Result<(), SpdyError> {
    let mut deflater = Deflater::new()?;
    let mut alive = interval(KEEPALIVE);
    // What a server asks has an even number.
    let mut ping: u32 = 0;
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => frame,
            _ = alive.tick() => {
                ping = ping.wrapping_add(2);
                Some(Frame::Ping(ping))
            }
        };
        let frame = frame.unwrap_or(Frame::GoAway);
        let last = frame == Frame::GoAway;
        to.write_all(&encode(&frame, &mut deflater)?).await?;
        to.flush().await?;
        if last {
            return Ok(to.shutdown().await?);
        }
    }
}

/// The end of a stream's data.
pub fn end_of(stream: StreamId) -> Frame {
    Frame::Data {
        stream,
        fin: true,
        bytes: Bytes::new(),
    }
}
