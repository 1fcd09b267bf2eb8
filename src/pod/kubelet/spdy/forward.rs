//! Port-forward over SPDY: `portforward.k8s.io`.
//!
//! For each connection the client opens two streams with one `requestID`: one for data, one for
//! an error, both with the `port`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::SpdyError;
use super::connection::{FrameReader, end_of, write};
use super::frame::{Frame, StreamId};
use super::headers::{Headers, header};
use crate::pod::kubelet::forward::{WAITING, pump};
use crate::pod::kubelet::{container, websocket};

/// Streams that a client may have open.
const MAX_STREAMS: usize = 2_048;
/// Of a `requestID`. Clients count.
const MAX_ID_BYTES: usize = 64;
const REFUSED_STREAM: u32 = 3;
const BLOCK_BYTES: usize = 32 << 10;

pub async fn forward(connection: Upgraded, dir: &Path) {
    serve(TokioIo::new(connection), dir).await;
}

/// The same bytes, as messages of a WebSocket.
pub async fn forward_tunnelled(connection: Upgraded, dir: &Path) {
    let (sink, mut source) = websocket::open(connection).await;
    let (messages, outgoing) = mpsc::channel(1);
    let (near, far) = duplex(2 * BLOCK_BYTES);
    let (mut from, mut to) = split(near);
    let inward = async {
        while let Some(bytes) = websocket::receive(&mut source).await {
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    let outward = async {
        let mut block = vec![0; BLOCK_BYTES];
        while let Ok(count @ 1..) = from.read(&mut block).await {
            let bytes = Bytes::copy_from_slice(&block[..count]);
            if messages.send(bytes).await.is_err() {
                return;
            }
        }
        drop(messages);
    };
    tokio::join!(
        serve(far, dir),
        inward,
        outward,
        websocket::send(sink, outgoing)
    );
}

pub(super) async fn serve(io: impl AsyncRead + AsyncWrite, dir: &Path) {
    let (from, to) = split(io);
    let (frames, outgoing) = mpsc::channel(1);
    let (requests, accepted) = mpsc::channel(1);
    let mut listener = Listener {
        frames: frames.clone(),
        requests,
        streams: HashMap::new(),
        halves: HashMap::new(),
    };
    let heard = async {
        if let Err(error) = listener.hear(FrameReader::new(from)).await {
            tracing::debug!("a client's SPDY connection: {error}");
        }
        // The client is gone, and with it every connection.
    };
    tokio::select! {
        () = heard => {}
        () = connections(accepted, dir, &frames) => {}
        result = write(to, outgoing) => {
            if let Err(error) = result {
                tracing::debug!("a client's SPDY connection: {error}");
            }
        }
    }
}

/// Both streams of one connection.
struct Request {
    port: u16,
    data: StreamId,
    error: StreamId,
    from_client: mpsc::Receiver<Bytes>,
    over: CancellationToken,
}

/// Serves requests until there are no more; each does not wait for the others.
async fn connections(
    mut requests: mpsc::Receiver<Request>,
    dir: &Path,
    frames: &mpsc::Sender<Frame>,
) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => running.push(one(request, dir.to_owned(), frames.clone())),
                None => return,
            },
            Some(()) = running.next() => {}
        }
    }
}

async fn one(request: Request, dir: PathBuf, frames: mpsc::Sender<Frame>) {
    let Request {
        port,
        data,
        error,
        from_client,
        over,
    } = request;
    let _over = over.clone().drop_guard();
    let forwarded = async {
        let fin = false;
        match container::dial(&dir, port).await {
            Ok(pod) => {
                let wrap = |bytes: &[u8]| Frame::Data {
                    stream: data,
                    fin,
                    bytes: Bytes::copy_from_slice(bytes),
                };
                pump(pod, from_client, &frames, wrap).await;
            }
            Err(failure) => {
                let bytes = failure.to_string().into();
                let stream = error;
                // A client that is gone needs no error; nor an end, below.
                let _ = frames.send(Frame::Data { stream, fin, bytes }).await;
            }
        }
    };
    tokio::select! {
        () = forwarded => {}
        () = over.cancelled() => {}
    }
    for stream in [data, error] {
        let _ = frames.send(end_of(stream)).await;
    }
}

struct Listener {
    frames: mpsc::Sender<Frame>,
    requests: mpsc::Sender<Request>,
    /// For data, by their number.
    streams: HashMap<StreamId, Open>,
    /// By `requestID`, what has come of a request.
    halves: HashMap<String, Half>,
}

struct Open {
    /// `None` once the client has said its last.
    sender: Option<mpsc::Sender<Bytes>>,
    over: CancellationToken,
}

#[derive(Default)]
struct Half {
    error: Option<StreamId>,
    data: Option<StreamId>,
}

impl Listener {
    /// Until the client is gone.
    async fn hear(
        &mut self,
        mut frames: FrameReader<impl AsyncRead + Unpin>,
    ) -> Result<(), SpdyError> {
        while let Some(frame) = frames.next().await? {
            match frame {
                Frame::SynStream {
                    stream, headers, ..
                } => self.begin(stream, &headers).await,
                Frame::Data { stream, fin, bytes } => self.data(stream, fin, bytes).await,
                Frame::Reset { stream, .. } => {
                    if let Some(open) = self.streams.remove(&stream) {
                        open.over.cancel();
                    }
                }
                Frame::Ping(id) if id % 2 == 1 => self.say(Frame::Ping(id)).await,
                Frame::GoAway => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }

    /// To a client that may be gone: that is found out where it is read from.
    async fn say(&self, frame: Frame) {
        let _ = self.frames.send(frame).await;
    }

    async fn data(&mut self, stream: StreamId, fin: bool, bytes: Bytes) {
        let Some(open) = self.streams.get_mut(&stream) else {
            return;
        };
        if let Some(sender) = &open.sender
            && !bytes.is_empty()
        {
            tokio::select! {
                // What a pod does not take any more is dropped.
                _ = sender.send(bytes) => {}
                () = open.over.cancelled() => {}
            }
        }
        if fin {
            open.sender = None;
        }
    }

    async fn begin(&mut self, stream: StreamId, headers: &Headers) {
        self.streams.retain(|_, open| !open.over.is_cancelled());
        let port = header(headers, "port").and_then(|port| port.parse::<u16>().ok());
        let kind = header(headers, "streamtype");
        let id = header(headers, "requestid").filter(|id| id.len() <= MAX_ID_BYTES);
        let (Some(port @ 1..), Some(kind), Some(id)) = (port, kind, id) else {
            return self.refuse(stream).await;
        };
        if self.streams.len() + self.halves.len() >= MAX_STREAMS {
            return self.refuse(stream).await;
        }
        let half = self.halves.entry(id.to_owned()).or_default();
        match kind {
            "error" if half.error.is_none() => half.error = Some(stream),
            "data" if half.data.is_none() => half.data = Some(stream),
            _ => return self.refuse(stream).await,
        }
        let whole = half.data.zip(half.error);
        let headers = Vec::new();
        self.say(Frame::SynReply { stream, headers }).await;
        if let Some((data, error)) = whole {
            self.halves.remove(id);
            let (sender, from_client) = mpsc::channel(WAITING);
            let over = CancellationToken::new();
            let open = Open {
                sender: Some(sender),
                over: over.clone(),
            };
            self.streams.insert(data, open);
            let request = Request {
                port,
                data,
                error,
                from_client,
                over,
            };
            // Refused only when all of it ends.
            let _ = self.requests.send(request).await;
        }
    }

    async fn refuse(&self, stream: StreamId) {
        let status = REFUSED_STREAM;
        self.say(Frame::Reset { stream, status }).await;
    }
}
