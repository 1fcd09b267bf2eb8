//! A blocking rtnetlink socket: batches of requests, and dumps that can be trusted.
//!
//! - A batch is one `send`. The kernel carries out every message of it in
//!   order, and goes on after one that fails, so a message that may only act if
//!   the one before succeeded belongs in the next batch.
//! - A dump that the kernel marks as interrupted (`NLM_F_DUMP_INTR`) is read
//!   again; an error that rides in its `NLMSG_DONE` is an error.

use std::borrow::Cow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use nix::sys::time::TimeVal;

use crate::kernel::KernelError;

use super::fault;

/// Acknowledgements of more messages than this may overrun the receive buffer.
const MAX_BATCH: usize = 128;
/// The kernel fills dump buffers up to 32 KiB (netlink_dump in af_netlink.c).
const RECEIVE_BYTES: usize = 32 * 1024;
const SOCKET_BUFFER_BYTES: usize = 1024 * 1024;
/// The kernel answers while a request is sent, so an answer that is not there is lost; only locks that
/// others hold delay the sending. A caller that gets an error looks again, one that waits does not.
const LOST_AFTER: TimeVal = TimeVal::new(10, 0);
/// How often an interrupted dump is read again before giving up.
const DUMP_ATTEMPTS: usize = 16;

/// `NLMSG_HDRLEN`, and the offsets within `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// `NLMSGERR_ATTR_MSG` (linux/netlink.h).
const ATTRIBUTE_MESSAGE: u16 = 1;

/// One message of a batch.
pub struct Request {
    /// What it does to what, for its error.
    pub step: Cow<'static, str>,
    pub message: RouteNetlinkMessage,
    /// Beside `NLM_F_REQUEST` and `NLM_F_ACK`.
    pub flags: u16,
}

impl Request {
    pub fn new(
        step: impl Into<Cow<'static, str>>,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Request {
        Request {
            step: step.into(),
            message,
            flags,
        }
    }
}

pub struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket in the calling thread's network namespace; it stays there.
    pub fn open() -> Result<Socket, KernelError> {
        let fail = |error: std::io::Error| KernelError::io("open a netlink socket", &error);
        let mut inner = netlink_sys::Socket::new(NETLINK_ROUTE).map_err(fail)?;
        inner.bind_auto().map_err(fail)?;
        inner.connect(&SocketAddr::new(0, 0)).map_err(fail)?;
        inner.set_ext_ack(true).map_err(fail)?;
        inner.set_netlink_get_strict_chk(true).map_err(fail)?;
        // The capped sizes do where the forced ones are not permitted.
        let forced = setsockopt(&inner, sockopt::RcvBufForce, &SOCKET_BUFFER_BYTES);
        if forced.is_err() {
            let _ = setsockopt(&inner, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES);
        }
        setsockopt(&inner, sockopt::ReceiveTimeout, &LOST_AFTER)
            .map_err(|errno| KernelError::new("open a netlink socket", errno))?;
        Ok(Socket {
            inner,
            sequence: 0,
            buffer: vec![0; RECEIVE_BYTES],
        })
    }

    /// Send all of `requests` and wait for every acknowledgement.
    ///
    /// # Errors
    /// That of the first request that failed; those behind it were tried too.
    pub fn batch(&mut self, requests: &[Request]) -> Result<(), KernelError> {
        self.ask(requests).map(drop)
    }

    /// Like [`Socket::batch`]; answers what the requests that ask for objects are told, and of
    /// those with `NLM_F_ECHO`, where the kernel knows it, what they made.
    pub fn ask(&mut self, requests: &[Request]) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        let mut answers = Vec::new();
        let mut first = None;
        for chunk in requests.chunks(MAX_BATCH) {
            let failed = self.send_chunk(chunk, &mut answers)?;
            first = first.or(failed);
        }
        first.map_or(Ok(answers), Err)
    }

    /// Like [`Socket::batch`], for one request.
    pub fn request(&mut self, request: Request) -> Result<(), KernelError> {
        self.batch(std::slice::from_ref(&request))
    }

    fn send_chunk(
        &mut self,
        requests: &[Request],
        answers: &mut Vec<RouteNetlinkMessage>,
    ) -> Result<Option<KernelError>, KernelError> {
        let base = self.sequence;
        let at_once = if fault::is_armed() { 1 } else { MAX_BATCH };
        for part in requests.chunks(at_once) {
            let mut out = Vec::with_capacity(256 * part.len());
            for request in part {
                self.append(&mut out, request.message.clone(), request.flags | NLM_F_ACK);
            }
            self.send(&out, &part[0].step)?;
        }
        let mut first: Option<(usize, KernelError)> = None;
        let mut outstanding = requests.len();
        while outstanding > 0 {
            let received = self.receive(&requests[0].step)?;
            for raw in Messages(&self.buffer[..received]) {
                let Some(index) = raw.sequence.checked_sub(base + 1).map(|i| i as usize) else {
                    continue;
                };
                let Some(request) = requests.get(index) else {
                    continue;
                };
                let Some((errno, detail)) = raw.error() else {
                    answers.extend(raw.parse(&request.step)?);
                    continue;
                };
                outstanding -= 1;
                if errno == Errno::UnknownErrno || first.as_ref().is_some_and(|(i, _)| *i < index) {
                    continue;
                }
                let error = KernelError {
                    step: request.step.clone().into_owned(),
                    errno,
                    detail,
                };
                first = Some((index, error));
            }
        }
        Ok(first.map(|(_, error)| error))
    }

    /// All answers to a dump request.
    pub fn dump(
        &mut self,
        step: &'static str,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        for _ in 0..DUMP_ATTEMPTS {
            let (answers, interrupted) = self.read_once(step, message, NLM_F_DUMP)?;
            if !interrupted {
                return Ok(answers);
            }
        }
        Err(KernelError::new(step, Errno::EINTR))
    }

    /// One object by name or index.
    pub fn get(
        &mut self,
        step: impl Into<Cow<'static, str>>,
        message: &RouteNetlinkMessage,
    ) -> Result<RouteNetlinkMessage, KernelError> {
        let step = step.into();
        let (mut answers, _) = self.read_once(&step, message, NLM_F_ACK)?;
        answers
            .pop()
            .ok_or_else(|| KernelError::new(step, Errno::ENOENT))
    }

    fn read_once(
        &mut self,
        step: &str,
        message: &RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(Vec<RouteNetlinkMessage>, bool), KernelError> {
        let mut out = Vec::with_capacity(128);
        self.append(&mut out, message.clone(), flags);
        self.send(&out, step)?;
        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            let received = self.receive(step)?;
            for raw in Messages(&self.buffer[..received]) {
                if raw.sequence != self.sequence {
                    continue;
                }
                interrupted |= raw.flags & NLM_F_DUMP_INTR != 0;
                if let Some((errno, detail)) = raw.error().or_else(|| raw.done()) {
                    if errno == Errno::UnknownErrno {
                        return Ok((answers, interrupted));
                    }
                    let step = step.to_owned();
                    return Err(KernelError {
                        step,
                        errno,
                        detail,
                    });
                }
                answers.extend(raw.parse(step)?);
            }
        }
    }

    fn append(&mut self, out: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16) {
        self.sequence += 1;
        let mut packet = NetlinkMessage::from(message);
        packet.header.flags = flags | NLM_F_REQUEST;
        packet.header.sequence_number = self.sequence;
        packet.finalize();
        let start = out.len();
        // Attributes end on four bytes, and so does every message: NLMSG_ALIGNTO.
        out.resize(start + packet.buffer_len().next_multiple_of(4), 0);
        packet.serialize(&mut out[start..]);
    }

    fn send(&self, bytes: &[u8], step: &str) -> Result<(), KernelError> {
        match self.inner.send(bytes, 0) {
            Ok(_) => {
                fault::sent();
                Ok(())
            }
            Err(error) => Err(KernelError::io(step, &error)),
        }
    }

    fn receive(&mut self, step: &str) -> Result<usize, KernelError> {
        loop {
            match recv(self.inner.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(received) => return Ok(received),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(KernelError::new(step, errno)),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// One message as it came: only the header is read until it is known whose it is.
struct Raw<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    bytes: &'a [u8],
}

/// `NLMSG_ERROR` and `NLMSG_DONE` (linux/netlink.h).
const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;

impl Raw<'_> {
    /// An acknowledgement answers `UnknownErrno`, which stands for no error (0).
    fn error(&self) -> Option<(Errno, Option<String>)> {
        if self.kind != KIND_ERROR {
            return None;
        }
        let payload = &self.bytes[HEADER_BYTES..];
        let errno = Errno::from_raw(-read_i32(payload)?);
        let detail = (self.flags & NLM_F_ACK_TLVS != 0).then(|| extended_text(payload));
        Some((errno, detail.flatten()))
    }

    /// `None`: it is about the conversation and not an object.
    fn parse(&self, step: &str) -> Result<Option<RouteNetlinkMessage>, KernelError> {
        let parsed = NetlinkMessage::<RouteNetlinkMessage>::deserialize(self.bytes);
        match parsed.map(|message| message.payload) {
            Ok(NetlinkPayload::InnerMessage(inner)) => Ok(Some(inner)),
            Ok(_) => Ok(None),
            Err(error) => Err(KernelError {
                step: step.to_owned(),
                errno: Errno::EBADMSG,
                detail: Some(error.to_string()),
            }),
        }
    }

    fn done(&self) -> Option<(Errno, Option<String>)> {
        if self.kind != KIND_DONE {
            return None;
        }
        let code = read_i32(&self.bytes[HEADER_BYTES..]).unwrap_or(0);
        Some((Errno::from_raw(-code), None))
    }
}

/// The text behind the failed request's header (or all of it, if not capped).
fn extended_text(payload: &[u8]) -> Option<String> {
    const CAPPED: u16 = 0x100;
    let original = payload.get(4..4 + HEADER_BYTES)?;
    let flags = u16::from_ne_bytes([original[6], original[7]]);
    let length = if flags & CAPPED != 0 {
        HEADER_BYTES
    } else {
        read_i32(original)? as usize
    };
    // An error answer repeats the request, unless the socket asked for a cap.
    let mut attributes = payload
        .get(4 + length.next_multiple_of(4)..)
        .or_else(|| payload.get(4 + HEADER_BYTES..))?;
    while attributes.len() >= 4 {
        let size = usize::from(u16::from_ne_bytes([attributes[0], attributes[1]]));
        let kind = u16::from_ne_bytes([attributes[2], attributes[3]]);
        let value = attributes.get(4..size)?;
        if kind == ATTRIBUTE_MESSAGE {
            let text = String::from_utf8_lossy(value);
            return Some(text.trim_end_matches('\0').to_owned());
        }
        attributes = attributes.get(size.next_multiple_of(4)..)?;
    }
    None
}

fn read_i32(bytes: &[u8]) -> Option<i32> {
    let head: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    Some(i32::from_ne_bytes(head))
}

/// Walks the messages of one datagram.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        let length = read_i32(self.0)? as usize;
        let bytes = self.0.get(..length).filter(|b| b.len() >= HEADER_BYTES)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Raw {
            kind: u16::from_ne_bytes([bytes[4], bytes[5]]),
            flags: u16::from_ne_bytes([bytes[6], bytes[7]]),
            sequence: u32::from_ne_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
            bytes,
        })
    }
}
