//! A console over a WebSocket.

use futures::executor::block_on;

use super::{MESSAGE_BYTES, decode, receive, socket};
use crate::pod::kubelet::console::Input;
use crate::pod::kubelet::fuzzing::{Client, pieces};

/// Two sizes of pieces, and what a client sends.
pub fn websocket(input: &[u8]) {
    let Some((pieces, sent)) = pieces(input) else {
        return;
    };
    let said = inputs(Client::at_once(sent));
    let bytes: usize = said.iter().map(length).sum();
    assert!(bytes <= sent.len(), "{bytes} of {}", sent.len());
    assert!(said.iter().all(|input| length(input) < MESSAGE_BYTES));
    assert_eq!(inputs(Client::in_pieces(sent, pieces)), said);
}

fn length(input: &Input) -> usize {
    match input {
        Input::Stdin(bytes) => bytes.len(),
        Input::StdinEnds | Input::Resize(_) => 0,
    }
}

fn inputs(client: Client<'_>) -> Vec<Input> {
    block_on(async {
        let mut source = socket(client).await;
        let mut inputs = Vec::new();
        while let Some(message) = receive(&mut source).await {
            inputs.extend(decode(&message));
        }
        inputs
    })
}
