//! Reading requests off a connection: HTTP/1.1 and 1.0 (RFC 9112).
//!
//! httparse knows the grammar; here is what it leaves: where a request ends, and
//! how much of one is taken. Whatever comes in, what is kept of it is bounded
//! by [`HEAD_MAX`]; bodies are read and dropped.

use std::io::{self, Read};
use std::net::SocketAddr;

use ::http::StatusCode;
use httparse::{EMPTY_HEADER, Status};

use super::Request;

/// Bytes of the request line and its headers, and of the trailers.
pub const HEAD_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;
const PIECE: usize = 4096;

/// Why there will be no further request on this connection.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{0}")]
    Malformed(String),
    #[error("the request's head is larger than {HEAD_MAX} bytes")]
    HeadTooLarge,
    #[error("of the transfer codings, only chunked can be read")]
    Coding,
    #[error("the connection ended in the middle of a request")]
    Cut,
    #[error("read: {0}")]
    Read(#[from] io::Error),
}

impl ReadError {
    /// What to answer; `None` if nobody is there to be answered.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            ReadError::Malformed(_) => Some(StatusCode::BAD_REQUEST),
            ReadError::HeadTooLarge => Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            ReadError::Coding => Some(StatusCode::NOT_IMPLEMENTED),
            ReadError::Cut | ReadError::Read(_) => None,
        }
    }
}

fn malformed(what: impl ToString) -> ReadError {
    ReadError::Malformed(what.to_string())
}

/// A request whose body is still to be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub request: Request,
    pub body: Body,
    /// The client goes on with this connection.
    pub keep_alive: bool,
    /// The client sends its body once it is told to (RFC 9110 §10.1.1).
    pub expects_continue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Length(u64),
    Chunked,
}

pub struct Reader<R> {
    pub source: R,
    /// What was read and is not yet used.
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub fn new(source: R) -> Reader<R> {
        Reader {
            source,
            buffer: Vec::new(),
        }
    }

    /// The next request. `None` if the client ended the connection between two.
    pub fn head(&mut self, peer: SocketAddr) -> Result<Option<Head>, ReadError> {
        loop {
            if let Some((head, length)) = parse_head(&self.buffer, peer)? {
                self.buffer.drain(..length);
                return Ok(Some(head));
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(ReadError::HeadTooLarge);
            }
            let was_empty = self.buffer.is_empty();
            match self.fill() {
                Err(ReadError::Cut) if was_empty => return Ok(None),
                filled => filled?,
            }
        }
    }

    pub fn drop_body(&mut self, body: Body) -> Result<(), ReadError> {
        match body {
            Body::Length(length) => self.drop_bytes(length),
            Body::Chunked => self.drop_chunks(),
        }
    }

    fn drop_chunks(&mut self) -> Result<(), ReadError> {
        loop {
            let size = self.drop_parsed(|bytes| {
                httparse::parse_chunk_size(bytes)
                    .map_err(|_| malformed("a chunk's size is not a number"))
            })?;
            if size == 0 {
                break;
            }
            self.drop_bytes(size)?;
            self.drop_parsed(|bytes| match bytes {
                [b'\r', b'\n', ..] => Ok(Status::Complete((2, ()))),
                [] | [b'\r'] => Ok(Status::Partial),
                _ => Err(malformed("a chunk is longer than its size")),
            })?;
        }
        self.drop_parsed(|bytes| {
            let mut trailers = [EMPTY_HEADER; HEADERS_MAX];
            let parsed = httparse::parse_headers(bytes, &mut trailers).map_err(malformed)?;
            Ok(match parsed {
                Status::Complete((length, _)) => Status::Complete((length, ())),
                Status::Partial => Status::Partial,
            })
        })
    }

    /// What `parse` finds at the start of the rest, once it is there in whole.
    fn drop_parsed<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Status<(usize, T)>, ReadError>,
    ) -> Result<T, ReadError> {
        loop {
            if let Status::Complete((length, found)) = parse(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(found);
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(ReadError::HeadTooLarge);
            }
            self.fill()?;
        }
    }

    fn drop_bytes(&mut self, mut count: u64) -> Result<(), ReadError> {
        while count > 0 {
            if self.buffer.is_empty() {
                self.fill()?;
            }
            let here = self
                .buffer
                .len()
                .min(usize::try_from(count).unwrap_or(usize::MAX));
            self.buffer.drain(..here);
            count -= here as u64;
        }
        Ok(())
    }

    /// Adds at least a byte.
    fn fill(&mut self) -> Result<(), ReadError> {
        let mut piece = [0; PIECE];
        loop {
            match self.source.read(&mut piece) {
                Ok(0) => return Err(ReadError::Cut),
                Ok(count) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A head and its length in bytes; `None` if it is not there in whole.
fn parse_head(bytes: &[u8], peer: SocketAddr) -> Result<Option<(Head, usize)>, ReadError> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ReadError::HeadTooLarge),
        Err(error) => return Err(malformed(error)),
    };
    let (path, query) = split_target(parsed.path.unwrap_or_default());
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: parsed
            .headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value);
                (header.name.to_owned(), value.into_owned())
            })
            .collect(),
        peer,
    };
    let is_1_1 = parsed.version == Some(1);
    let body = body(&request, is_1_1)?;
    let connection = |option: &str| has_option(&request, "connection", option);
    let head = Head {
        body,
        keep_alive: !connection("close") && (is_1_1 || connection("keep-alive")),
        expects_continue: is_1_1 && has_option(&request, "expect", "100-continue"),
        request,
    };
    Ok(Some((head, length)))
}

/// Path and query, of the origin form as of the absolute one (RFC 9112 §3.2).
fn split_target(target: &str) -> (&str, &str) {
    let local = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find(['/', '?']).map_or("/", |start| &rest[start..])
        }
        _ => target,
    };
    local.split_once('?').unwrap_or((local, ""))
}

/// RFC 9112 §6.3. What two readers could understand in two ways is refused.
fn body(request: &Request, is_1_1: bool) -> Result<Body, ReadError> {
    let values = |name: &'static str| {
        let named = move |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        request
            .headers
            .iter()
            .filter(named)
            .map(|(_, value)| value.trim())
    };
    let lengths: Vec<&str> = values("content-length").collect();
    let codings: Vec<&str> = values("transfer-encoding").collect();
    match (codings.as_slice(), lengths.as_slice()) {
        ([], []) => Ok(Body::Length(0)),
        ([], [first, others @ ..]) => {
            let is_number = first.bytes().all(|byte| byte.is_ascii_digit());
            let length = first.parse().ok().filter(|_| is_number);
            match length {
                Some(length) if others.iter().all(|other| other == first) => {
                    Ok(Body::Length(length))
                }
                _ => Err(malformed("the Content-Length is not one number")),
            }
        }
        (_, [_, ..]) => Err(malformed("it has a Content-Length and a Transfer-Encoding")),
        (_, []) if !is_1_1 => Err(malformed("HTTP/1.0 has no Transfer-Encoding")),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Body::Chunked),
        _ => Err(ReadError::Coding),
    }
}

/// Whether one of the comma-separated values of these headers is `option`.
fn has_option(request: &Request, name: &str, option: &str) -> bool {
    let mut values = request
        .headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name));
    values.any(|(_, value)| {
        let mut options = value.split(',');
        options.any(|one| one.trim().eq_ignore_ascii_case(option))
    })
}

#[cfg(test)]
mod tests;
