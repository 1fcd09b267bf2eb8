//! Consoles and bytes over a WebSocket.
//!
//! In `v4.channel.k8s.io` and `v5.channel.k8s.io` the first byte of a binary message names the channel
//! that the rest belongs to. Version 5 can also say that a channel has ended, which is how a
//! client ends standard input.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, Stream, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use super::console::{Far, Input, KEEPALIVE, Output};

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// Clients send blocks of some 32 KiB; more at once is refused.
const MESSAGE_BYTES: usize = 1 << 20;
/// How long a client may take to answer that the connection is over.
const LINGER: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TokioIo<Upgraded>>;
pub type Sink = SplitSink<Socket, Message>;
pub type Source = SplitStream<Socket>;

pub async fn open(connection: Upgraded) -> (Sink, Source) {
    socket(TokioIo::new(connection)).await.split()
}

async fn socket<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

/// Carries a console until its program's side is done or the client is gone.
pub async fn carry(connection: Upgraded, far: Far) {
    let (sink, mut source) = open(connection).await;
    let (messages, outgoing) = mpsc::channel(1);
    let told = async {
        let mut output = far.output;
        while let Some(one) = output.recv().await {
            if messages.send(encode(one)).await.is_err() {
                return;
            }
        }
        drop(messages);
    };
    let heard = hear(&mut source, far.input);
    // The client's end is the program's business: it ends then, and its output with it.
    let heard = async {
        heard.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = async { tokio::join!(told, send(sink, outgoing)) } => {}
        () = heard => {}
    }
    linger(source).await;
}

/// Sends messages until there are no more, then says so; sees to it that a client that is gone is
/// noticed.
pub async fn send(mut sink: Sink, mut messages: mpsc::Receiver<Bytes>) {
    let mut alive = interval(KEEPALIVE);
    loop {
        let message = tokio::select! {
            message = messages.recv() => message.map(Message::Binary),
            _ = alive.tick() => Some(Message::Ping(Bytes::new())),
        };
        let last = message.is_none();
        let message = message.unwrap_or_else(|| {
            // Anything but a normal end is a failure to kubectl.
            Message::Close(Some(CloseFrame {
                code: CloseCode::Normal,
                reason: "".into(),
            }))
        });
        if sink.send(message).await.is_err() || last {
            return;
        }
    }
}

/// Lets the client end the connection: what is on its way to it would be lost otherwise.
pub async fn linger(mut source: Source) {
    let drained = async { while let Some(Ok(_)) = source.next().await {} };
    // One that does not is not waited for.
    let _ = timeout(LINGER, drained).await;
}

/// The next binary message; `None` once the client is gone or has said its last.
pub async fn receive(
    source: &mut (impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin),
) -> Option<Bytes> {
    loop {
        match source.next().await? {
            Ok(Message::Binary(bytes)) => return Some(bytes),
            Ok(Message::Close(_)) => return None,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!("a client's WebSocket: {error}");
                return None;
            }
        }
    }
}

async fn hear(source: &mut Source, input: mpsc::Sender<Input>) {
    while let Some(message) = receive(source).await {
        if let Some(said) = decode(&message)
            && input.send(said).await.is_err()
        {
            return;
        }
    }
}

/// `None` for what has no meaning here, as a channel that nobody reads.
fn decode(message: &Bytes) -> Option<Input> {
    let (channel, data) = message.split_first()?;
    match *channel {
        STDIN if data.is_empty() => None,
        STDIN => Some(Input::Stdin(message.slice(1..))),
        RESIZE => serde_json::from_slice(data).ok().map(Input::Resize),
        CLOSE if data == [STDIN] => Some(Input::StdinEnds),
        _ => None,
    }
}

fn encode(output: Output) -> Bytes {
    match output {
        Output::Stdout(bytes) => on_channel(STDOUT, &bytes),
        Output::Stderr(bytes) => on_channel(STDERR, &bytes),
        Output::Status(status) => on_channel(STATUS, status.to_string().as_bytes()),
    }
}

pub fn on_channel(channel: u8, data: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(data.len() + 1);
    message.put_u8(channel);
    message.put_slice(data);
    message.freeze()
}
