//! Frames, to and from bytes (SPDY/3 §2.2).

use bytes::{BufMut, Bytes};

use super::SpdyError;
use super::headers::{Deflater, Headers, Inflater};

pub const HEAD_BYTES: usize = 8;
/// Of a control frame. Data comes in any size, and is read in pieces.
const MAX_CONTROL_BYTES: usize = 64 << 10;
const VERSION: u16 = 3;
const CONTROL: u32 = 1 << 31;
const STREAM: u32 = !CONTROL;
const FIN: u8 = 1;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;

/// Clients' streams have odd numbers.
pub type StreamId = u32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    SynStream {
        stream: StreamId,
        /// The sender sends nothing more on the stream.
        fin: bool,
        headers: Headers,
    },
    SynReply {
        stream: StreamId,
        headers: Headers,
    },
    Reset {
        stream: StreamId,
        status: u32,
    },
    Ping(u32),
    GoAway,
    Data {
        stream: StreamId,
        fin: bool,
        bytes: Bytes,
    },
    /// One that means nothing to us: settings, windows.
    Other,
}

/// The first eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    pub flags: u8,
    /// What follows.
    pub bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Control(u16),
    Data(StreamId),
}

impl Head {
    pub fn parse(head: [u8; HEAD_BYTES]) -> Result<Head, SpdyError> {
        let [a, b, c, d, flags, length @ ..] = head;
        let bytes = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let first = u32::from_be_bytes([a, b, c, d]);
        if first & CONTROL == 0 {
            let kind = Kind::Data(first);
            return Ok(Head { kind, flags, bytes });
        }
        let version = u16::from_be_bytes([a & 0x7f, b]);
        let kind = u16::from_be_bytes([c, d]);
        if version != VERSION {
            return Err(SpdyError::Version(version));
        }
        if bytes > MAX_CONTROL_BYTES {
            return Err(SpdyError::TooLarge { kind, bytes });
        }
        let kind = Kind::Control(kind);
        Ok(Head { kind, flags, bytes })
    }

    pub fn fin(&self) -> bool {
        self.flags & FIN != 0
    }
}

/// A control frame. Its header block, if it has one, goes through `inflater`.
pub fn control(
    kind: u16,
    fin: bool,
    payload: &[u8],
    inflater: &mut Inflater,
) -> Result<Frame, SpdyError> {
    let word = |at: usize| -> Result<u32, SpdyError> {
        let word = payload.get(at..).and_then(|rest| rest.first_chunk());
        let word = word.ok_or(SpdyError::TooShort { kind })?;
        Ok(u32::from_be_bytes(*word))
    };
    let block = |at: usize| payload.get(at..).ok_or(SpdyError::TooShort { kind });
    Ok(match kind {
        SYN_STREAM => Frame::SynStream {
            stream: word(0)? & STREAM,
            fin,
            // After the stream that it belongs to, a priority and a slot.
            headers: inflater.headers(block(10)?)?,
        },
        SYN_REPLY => Frame::SynReply {
            stream: word(0)? & STREAM,
            headers: inflater.headers(block(4)?)?,
        },
        RST_STREAM => Frame::Reset {
            stream: word(0)? & STREAM,
            status: word(4)?,
        },
        PING => Frame::Ping(word(0)?),
        GOAWAY => Frame::GoAway,
        _ => Frame::Other,
    })
}

/// # Errors
/// Only for headers that cannot be compressed, and for more data than a frame can have (16 MiB).
pub fn encode(frame: &Frame, deflater: &mut Deflater) -> Result<Vec<u8>, SpdyError> {
    let mut payload = Vec::new();
    let (first, flags) = match frame {
        Frame::SynStream {
            stream,
            fin,
            headers,
        } => {
            payload.put_u32(*stream);
            payload.put_slice(&[0; 6]);
            payload.put_slice(&deflater.block(headers)?);
            (control_word(SYN_STREAM), u8::from(*fin))
        }
        Frame::SynReply { stream, headers } => {
            payload.put_u32(*stream);
            payload.put_slice(&deflater.block(headers)?);
            (control_word(SYN_REPLY), 0)
        }
        Frame::Reset { stream, status } => {
            payload.put_u32(*stream);
            payload.put_u32(*status);
            (control_word(RST_STREAM), 0)
        }
        Frame::Ping(id) => {
            payload.put_u32(*id);
            (control_word(PING), 0)
        }
        Frame::GoAway => {
            payload.put_u64(0);
            (control_word(GOAWAY), 0)
        }
        Frame::Data { stream, fin, bytes } => {
            payload.put_slice(bytes);
            (*stream, u8::from(*fin))
        }
        Frame::Other => return Ok(payload),
    };
    let length = match u32::try_from(payload.len()) {
        Ok(length) if length < 1 << 24 => length,
        _ => {
            let bytes = payload.len();
            return Err(SpdyError::TooLarge { kind: 0, bytes });
        }
    };
    let mut encoded = Vec::with_capacity(HEAD_BYTES + payload.len());
    encoded.put_u32(first);
    encoded.put_u32(u32::from(flags) << 24 | length);
    encoded.append(&mut payload);
    Ok(encoded)
}

fn control_word(kind: u16) -> u32 {
    CONTROL | u32::from(VERSION) << 16 | u32::from(kind)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames() -> impl Strategy<Value = Frame> {
        let stream = 0..CONTROL;
        let headers = proptest::collection::vec(("[a-z]{0,9}", "\\PC{0,9}"), 0..5);
        let bytes = proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
        prop_oneof![
            (stream.clone(), any::<bool>(), headers.clone()).prop_map(|(stream, fin, headers)| {
                Frame::SynStream {
                    stream,
                    fin,
                    headers,
                }
            }),
            (stream.clone(), headers)
                .prop_map(|(stream, headers)| Frame::SynReply { stream, headers }),
            (stream.clone(), any::<u32>())
                .prop_map(|(stream, status)| Frame::Reset { stream, status }),
            any::<u32>().prop_map(Frame::Ping),
            Just(Frame::GoAway),
            (stream, any::<bool>(), bytes).prop_map(|(stream, fin, bytes)| Frame::Data {
                stream,
                fin,
                bytes
            }),
        ]
    }

    fn decode(encoded: &[u8], inflater: &mut Inflater) -> Result<Frame, SpdyError> {
        let (head, payload) = encoded.split_first_chunk().expect("a head");
        let head = Head::parse(*head)?;
        assert_eq!(head.bytes, payload.len());
        match head.kind {
            Kind::Control(kind) => control(kind, head.fin(), payload, inflater),
            Kind::Data(stream) => Ok(Frame::Data {
                stream,
                fin: head.fin(),
                bytes: Bytes::copy_from_slice(payload),
            }),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(frames in proptest::collection::vec(frames(), 1..10)) {
            let (mut deflater, mut inflater) = (Deflater::new().unwrap(), Inflater::default());
            for frame in frames {
                let encoded = encode(&frame, &mut deflater).unwrap();
                prop_assert_eq!(decode(&encoded, &mut inflater).unwrap(), frame);
            }
        }

        #[test]
        fn any_bytes_are_survived(
            head in any::<[u8; HEAD_BYTES]>(),
            kind in 0..12_u16,
            payload in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let _ = Head::parse(head);
            let _ = control(kind, false, &payload, &mut Inflater::default());
        }
    }
}
