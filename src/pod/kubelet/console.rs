//! What a client and a program say to each other, whatever carries it.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

/// Messages that wait on either side: a program that does not read, or a client, holds up
/// the other one and nobody's memory.
const WAITING: usize = 4;
/// How often a silent client is written to: one that is gone is found out so.
pub const KEEPALIVE: Duration = Duration::from_secs(10);

/// From the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    Stdin(Bytes),
    StdinEnds,
    Resize(Size),
}

/// To the client.
#[derive(Debug, PartialEq)]
pub enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
    /// A `metav1.Status`, the last word.
    Status(Value),
}

/// Of a terminal, in characters. As clients send it: `{"Width":80,"Height":24}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Size {
    #[serde(rename = "Width")]
    pub columns: u16,
    #[serde(rename = "Height")]
    pub rows: u16,
}

/// The program's side. The client is gone when `input` ends or `output` is closed.
#[derive(Debug)]
pub struct Console {
    pub input: mpsc::Receiver<Input>,
    pub output: mpsc::Sender<Output>,
}

/// The client's side, for what carries it.
#[derive(Debug)]
pub struct Far {
    pub input: mpsc::Sender<Input>,
    pub output: mpsc::Receiver<Output>,
}

pub fn pair() -> (Console, Far) {
    let (input_sender, input) = mpsc::channel(WAITING);
    let (output, output_receiver) = mpsc::channel(WAITING);
    let far = Far {
        input: input_sender,
        output: output_receiver,
    };
    (Console { input, output }, far)
}
