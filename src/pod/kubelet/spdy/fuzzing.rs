//! SPDY: frames, and the port-forward that is spoken in them.

use std::path::Path;

use futures::executor::block_on;
use tokio::runtime::{Builder, Runtime};

use super::connection::FrameReader;
use super::frame::{Frame, encode};
use super::headers::{Deflater, Headers};
use crate::pod::kubelet::fuzzing::{Client, pieces};

/// Of the headers of one frame, and what the last step of inflating them may add.
const MAX_HEADERS_BYTES: usize = (64 + 4) << 10;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
}

/// Two sizes of pieces, and what a client sends.
pub fn spdy(input: &[u8]) {
    let Some((pieces, sent)) = pieces(input) else {
        return;
    };
    let said = frames(Client::at_once(sent));
    assert_eq!(frames(Client::in_pieces(sent, pieces)), said);
    for frame in &said.0 {
        if let Frame::SynStream { headers, .. } | Frame::SynReply { headers, .. } = frame {
            assert!(length(headers) <= MAX_HEADERS_BYTES);
        }
    }
    can_be_written(said.0);
    is_answered(Client::in_pieces(sent, pieces));
}

fn length(headers: &Headers) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// All that can be read, and why it ended where that was no end.
fn frames(client: Client<'_>) -> (Vec<Frame>, Option<String>) {
    let mut reader = FrameReader::new(client);
    let mut frames = Vec::new();
    loop {
        match block_on(reader.next()) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error.to_string())),
        }
    }
}

fn can_be_written(mut said: Vec<Frame>) {
    said.retain(|frame| *frame != Frame::Other);
    let mut deflater = Deflater::new().expect("a compressor");
    let mut bytes = Vec::new();
    for frame in &said {
        bytes.extend(encode(frame, &mut deflater).expect("a frame that was read"));
    }
    assert_eq!(frames(Client::at_once(&bytes)), (said, None));
}

/// A client that is gone is left, and what it was told before are frames. No pod is there for it.
fn is_answered(mut client: Client<'_>) {
    RUNTIME.with(|runtime| {
        runtime.block_on(super::forward::serve(
            &mut client,
            Path::new("/nonexistent/pod"),
        ));
    });
    let (_, error) = frames(Client::at_once(&client.told));
    assert_eq!(error, None);
}
