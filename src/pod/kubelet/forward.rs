//! Connections from clients to ports in a pod.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::future::join_all;
use hyper::upgrade::Upgraded;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::websocket::{self, on_channel};

const BLOCK_BYTES: usize = 32 << 10;
/// Blocks that wait for a pod that does not read.
pub const WAITING: usize = 2;
const CLOSE: u8 = 255;

/// Carries bytes both ways until the pod has said all. What the client sends ends when its sender
/// goes; what the pod says goes to it `wrap`ped.
pub async fn pump<T>(
    pod: TcpStream,
    mut from_client: mpsc::Receiver<Bytes>,
    to_client: &mpsc::Sender<T>,
    wrap: impl Fn(&[u8]) -> T,
) {
    let (mut read, mut write) = pod.into_split();
    let up = async {
        while let Some(bytes) = from_client.recv().await {
            if write.write_all(&bytes).await.is_err() {
                // It takes no more. What it says is still told, and the client's words are dropped.
                return while from_client.recv().await.is_some() {};
            }
        }
        // That it ends there is no error.
        let _ = write.shutdown().await;
    };
    let down = async {
        let mut block = vec![0; BLOCK_BYTES];
        while let Ok(count @ 1..) = read.read(&mut block).await {
            if to_client.send(wrap(&block[..count])).await.is_err() {
                return;
            }
        }
    };
    tokio::pin!(up);
    tokio::pin!(down);
    // A pod that has said all is done, as for kubectl: who still speaks, speaks to nobody.
    tokio::select! {
        () = &mut up => down.await,
        () = &mut down => {}
    }
}

/// A WebSocket for ports that the client named when it asked: each has a channel for data and,
/// after it, one for an error, whose first message is the port.
pub async fn over_websocket(connection: Upgraded, dir: &Path, ports: Vec<u16>) {
    let (sink, mut source) = websocket::open(connection).await;
    let (messages, outgoing) = mpsc::channel(1);
    let (senders, receivers): (Vec<_>, Vec<_>) =
        ports.iter().map(|_| mpsc::channel(WAITING)).unzip();
    let mut forwards = Vec::new();
    for (port, from_client) in ports.into_iter().zip(receivers) {
        // There are fewer ports than channels: see the query's check.
        let data = u8::try_from(2 * forwards.len()).unwrap_or(CLOSE - 1);
        let to = ToPort { port, data };
        forwards.push(one_port(dir.to_owned(), to, from_client, messages.clone()));
    }
    let forwards = join_all(forwards);
    drop(messages);
    let heard = async {
        hear(&mut source, senders).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = async { tokio::join!(forwards, websocket::send(sink, outgoing)) } => {}
        () = heard => {}
    }
    websocket::linger(source).await;
}

/// A port, and the channel for its data.
struct ToPort {
    port: u16,
    data: u8,
}

async fn one_port(
    dir: PathBuf,
    ToPort { port, data }: ToPort,
    from_client: mpsc::Receiver<Bytes>,
    messages: mpsc::Sender<Bytes>,
) {
    for channel in [data, data + 1] {
        // A client that is gone is noticed below.
        let _ = messages
            .send(on_channel(channel, &port.to_le_bytes()))
            .await;
    }
    match super::container::dial(&dir, port).await {
        Ok(pod) => {
            pump(pod, from_client, &messages, |bytes| on_channel(data, bytes)).await;
        }
        Err(failure) => {
            let text = failure.to_string();
            let _ = messages.send(on_channel(data + 1, text.as_bytes())).await;
        }
    }
}

/// What the client says, to its ports; until it is gone.
async fn hear(source: &mut websocket::Source, senders: Vec<mpsc::Sender<Bytes>>) {
    let mut senders: Vec<Option<_>> = senders.into_iter().map(Some).collect();
    while let Some(message) = websocket::receive(source).await {
        match message.split_first() {
            // This channel gets nothing more: version 5.
            Some((&CLOSE, &[channel])) if channel % 2 == 0 => {
                if let Some(sender) = senders.get_mut(usize::from(channel) / 2) {
                    *sender = None;
                }
            }
            Some((channel, [_, ..])) if channel % 2 == 0 => {
                if let Some(Some(sender)) = senders.get(usize::from(*channel) / 2) {
                    // One whose pod has ended takes nothing more.
                    let _ = sender.send(message.slice(1..)).await;
                }
            }
            _ => {}
        }
    }
}
