//! A console over SPDY: `v4.channel.k8s.io` of exec and attach.
//!
//! The client opens a stream for each of error, stdin, stdout, stderr and resize that it wants, and
//! names it in the header `streamType`.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, split};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::connection::{FrameReader, end_of, write};
use super::frame::{Frame, StreamId};
use super::headers::header;
use crate::pod::kubelet::console::{Far, Input, Output};
use crate::pod::kubelet::query::Streams as Wanted;

/// How long a client may take to answer that the connection is over.
const LINGER: Duration = Duration::from_secs(2);
/// A terminal's size has some 30 bytes.
const MAX_RESIZE_BYTES: usize = 1 << 10;
/// How long a client may take to open its streams (the kubelet's `streamCreationTimeout`).
const CREATION: Duration = Duration::from_secs(30);

/// Which streams there are.
#[derive(Clone, Copy, Debug, Default)]
struct Streams {
    stdin: Option<StreamId>,
    stdout: Option<StreamId>,
    stderr: Option<StreamId>,
    error: Option<StreamId>,
    resize: Option<StreamId>,
}

impl Streams {
    fn named(&mut self, kind: &str) -> Option<&mut Option<StreamId>> {
        Some(match kind {
            "stdin" => &mut self.stdin,
            "stdout" => &mut self.stdout,
            "stderr" => &mut self.stderr,
            "error" => &mut self.error,
            "resize" => &mut self.resize,
            _ => return None,
        })
    }

    /// Whether all are open that a client with these wishes opens.
    fn are(&self, wanted: Wanted) -> bool {
        let separate = wanted.stderr && !wanted.tty;
        self.error.is_some()
            && (self.stdin.is_some() || !wanted.stdin)
            && (self.stdout.is_some() || !wanted.stdout)
            && (self.stderr.is_some() || !separate)
            && (self.resize.is_some() || !wanted.tty)
    }
}

/// Carries a console until its program's side is done or the client is gone. `wanted` is what the
/// client has said that it will open.
pub async fn carry(connection: Upgraded, far: Far, wanted: Wanted) {
    let (from, to) = split(TokioIo::new(connection));
    let (frames, outgoing) = mpsc::channel(1);
    let (streams, known) = watch::channel(Streams::default());
    let mut listener = Listener {
        frames: FrameReader::new(from),
        replies: frames.clone(),
        streams,
        resize: Vec::new(),
    };
    let told = tell(far.output, known, wanted, &frames);
    let written = write(to, outgoing);
    let heard = async {
        listener.hear(far.input).await;
        // The program ends now, and its output with it.
        pending::<()>().await;
    };
    tokio::select! {
        ((), written) = async { tokio::join!(told, written) } => {
            if let Err(error) = written {
                tracing::debug!("a client's SPDY connection: {error}");
            }
        }
        () = heard => {}
    }
    // What is on its way to the client would be lost if this ended first.
    let drained = async { while let Ok(Some(_)) = listener.frames.next().await {} };
    let _ = timeout(LINGER, drained).await;
}

/// What the program says, to the stream that is for it, as soon as there is that stream.
async fn tell(
    mut output: mpsc::Receiver<Output>,
    mut known: watch::Receiver<Streams>,
    wanted: Wanted,
    frames: &mpsc::Sender<Frame>,
) {
    while let Some(said) = output.recv().await {
        let (which, bytes): (fn(&Streams) -> Option<StreamId>, Bytes) = match said {
            Output::Stdout(bytes) => (|all| all.stdout, bytes),
            Output::Stderr(bytes) => (|all| all.stderr, bytes),
            Output::Status(status) => (|all| all.error, status.to_string().into()),
        };
        let stream = match known.wait_for(|all| which(all).is_some()).await {
            Ok(all) => which(&all),
            Err(_) => return,
        };
        let fin = false;
        if let Some(stream) = stream
            && frames
                .send(Frame::Data { stream, fin, bytes })
                .await
                .is_err()
        {
            return;
        }
    }
    // A short program ends before its client, which waits for an answer to each, has opened all.
    let open = known.wait_for(|all| all.are(wanted));
    drop(timeout(CREATION, open).await);
    let all = *known.borrow();
    let ends = [all.stdout, all.stderr, all.error]
        .into_iter()
        .flatten()
        .map(end_of);
    for frame in ends.chain([Frame::GoAway]) {
        // A client that is gone needs no end.
        let _ = frames.send(frame).await;
    }
}

struct Listener<R> {
    frames: FrameReader<R>,
    replies: mpsc::Sender<Frame>,
    streams: watch::Sender<Streams>,
    /// Of a size that has not come whole.
    resize: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Listener<R> {
    /// Until the client is gone.
    async fn hear(&mut self, input: mpsc::Sender<Input>) {
        loop {
            let frame = match self.frames.next().await {
                Ok(Some(Frame::GoAway) | None) => return,
                Ok(Some(frame)) => frame,
                Err(error) => return tracing::debug!("a client's SPDY connection: {error}"),
            };
            let Some(said) = self.take(frame).await else {
                continue;
            };
            for one in said {
                if input.send(one).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Option<Vec<Input>> {
        let all = *self.streams.borrow();
        match frame {
            Frame::SynStream {
                stream, headers, ..
            } => {
                let kind = header(&headers, "streamtype")?;
                // A reply first: the client waits for it.
                let reply = Frame::SynReply {
                    stream,
                    headers: Vec::new(),
                };
                self.replies.send(reply).await.ok()?;
                self.streams.send_if_modified(|all| {
                    let known = all.named(kind);
                    known.map(|known| *known = Some(stream)).is_some()
                });
                None
            }
            Frame::Data { stream, fin, bytes } if all.stdin == Some(stream) => {
                let end = fin.then_some(Input::StdinEnds);
                Some([Input::Stdin(bytes)].into_iter().chain(end).collect())
            }
            Frame::Data { stream, bytes, .. } if all.resize == Some(stream) => {
                self.resize.extend_from_slice(&bytes);
                Some(sizes(&mut self.resize))
            }
            Frame::Ping(id) if id % 2 == 1 => {
                self.replies.send(Frame::Ping(id)).await.ok()?;
                None
            }
            _ => None,
        }
    }
}

/// The whole ones of a sequence of JSON documents; the last wins, but each is told.
fn sizes(text: &mut Vec<u8>) -> Vec<Input> {
    let mut documents = serde_json::Deserializer::from_slice(text).into_iter();
    let mut sizes = Vec::new();
    let mut read = 0;
    while let Some(Ok(size)) = documents.next() {
        sizes.push(Input::Resize(size));
        read = documents.byte_offset();
    }
    text.drain(..read);
    if text.len() > MAX_RESIZE_BYTES {
        text.clear();
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::kubelet::console::Size;

    #[test]
    fn sizes_come_in_any_pieces() {
        let text = b"{\"Width\":80,\"Height\":24}\n{\"Width\":100,\"Height\":30}\n";
        for cut in 0..text.len() {
            let mut buffer = text[..cut].to_vec();
            let mut told = sizes(&mut buffer);
            buffer.extend_from_slice(&text[cut..]);
            told.extend(sizes(&mut buffer));
            let size = |columns, rows| Input::Resize(Size { columns, rows });
            assert_eq!(told, [size(80, 24), size(100, 30)], "cut at {cut}");
        }
        let mut endless = vec![b'x'; 2 * MAX_RESIZE_BYTES];
        assert_eq!(sizes(&mut endless), []);
        assert!(endless.is_empty());
    }
}
