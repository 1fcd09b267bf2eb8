//! What is asked and what is answered.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::SocketAddr;

use ::http::StatusCode;
use jiff::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// As sent, without the query.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    /// In order, as sent; a value that is no UTF-8 has what is wrong replaced.
    pub headers: Vec<(String, String)>,
    /// An IPv4 client of a socket for both families has a mapped address.
    pub peer: SocketAddr,
}

impl Request {
    /// The first value of a key in the query, decoded; empty if there is none.
    pub fn value(&self, key: &str) -> String {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: StatusCode,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The connection ends with it.
    pub close: bool,
}

impl Response {
    pub fn new(status: StatusCode, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            headers: Vec::new(),
            body: body.into(),
            close: false,
        }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Response {
        Response::new(StatusCode::OK, body)
    }

    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// As HTTP/1.1 (RFC 9112 §4). `is_head`: the request had the method HEAD.
    pub fn write(&self, to: &mut impl Write, is_head: bool, now: Timestamp) -> io::Result<()> {
        let reason = self.status.canonical_reason().unwrap_or("");
        let mut text = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_u16());
        // RFC 9110 §6.6.1; strftime cannot fail on these fields.
        text += &format!("Date: {}\r\n", now.strftime("%a, %d %b %Y %H:%M:%S GMT"));
        for (name, value) in &self.headers {
            text += &format!("{name}: {}\r\n", on_one_line(value));
        }
        text += if self.close {
            "Connection: close\r\n"
        } else {
            "Connection: keep-alive\r\n"
        };
        // RFC 9110 §6.4.1 and §8.6: these have no body and no length.
        let has_body = !matches!(self.status.as_u16(), 100..=199 | 204 | 304);
        if has_body {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        text += "\r\n";
        // In one piece, so that it is one segment if it can be.
        let mut bytes = text.into_bytes();
        if has_body && !is_head {
            bytes.extend_from_slice(&self.body);
        }
        to.write_all(&bytes)?;
        to.flush()
    }
}

/// A value from outside cannot end its line and begin another header.
fn on_one_line(value: &str) -> Cow<'_, str> {
    if value.chars().any(char::is_control) {
        value.replace(char::is_control, " ").into()
    } else {
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(response: &Response, is_head: bool) -> String {
        let mut bytes = Vec::new();
        let second = Timestamp::from_second(784_111_777).expect("a time");
        response
            .write(&mut bytes, is_head, second)
            .expect("written");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_response_is_written_as_http() {
        assert_eq!(
            written(&Response::ok("hi"), false),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Connection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"
        );
        assert!(written(&Response::ok("hi"), true).ends_with("Content-Length: 2\r\n\r\n"));
        let nothing = Response::new(StatusCode::NO_CONTENT, "hi");
        assert!(written(&nothing, false).ends_with("keep-alive\r\n\r\n"));
    }

    #[test]
    fn no_value_begins_a_header_of_its_own() {
        let response = Response::ok("").with_header("Location", "/a\r\nSet-Cookie: b");
        assert!(written(&response, false).contains("Location: /a  Set-Cookie: b\r\n"));
    }
}
