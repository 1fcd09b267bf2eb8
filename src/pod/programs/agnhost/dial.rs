//! netexec's `/dial`: has the pod ask another, over HTTP or UDP, and tells what
//! came back.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ::http::StatusCode;
use serde_json::{Map, Value};

use super::super::http::{Request, Response};
use super::{address, connect, log};

/// For each try.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer; the rest is left.
const ANSWER_MAX: u64 = 1024 * 1024;
const HEADERS_MAX: usize = 100;
/// One request cannot keep a pod busy for good.
const TRIES_MAX: u32 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Udp,
}

pub fn answer(request: &Request) -> Response {
    let value = |key| request.value(key);
    let (host, port, asked) = (value("host"), value("port"), value("request"));
    let (protocol, tries) = (value("protocol"), value("tries"));
    log(&format!(
        "GET /dial?host={host}&protocol={protocol}&port={port}&request={asked}&tries={tries}"
    ));
    let refuse = |why: String| Response::new(StatusCode::BAD_REQUEST, why + "\n");
    let tries = match tries.as_str() {
        "" => 1,
        text => match text.parse() {
            Ok(tries) if tries <= TRIES_MAX => tries,
            _ => {
                return refuse(format!(
                    "tries parameter is invalid. {text:?} is no number up to {TRIES_MAX}"
                ));
            }
        },
    };
    if asked.is_empty() {
        return refuse("request parameter not specified.".to_owned());
    }
    let protocol = match protocol.to_lowercase().as_str() {
        "" | "http" => Protocol::Http,
        "udp" => Protocol::Udp,
        other => return refuse(format!("unsupported protocol. {other}")),
    };
    let addresses = match address::resolve(&host, &port) {
        Ok(addresses) => addresses,
        Err(error) => return refuse(format!("host and/or port param are invalid. {error}")),
    };
    let results = (0..tries).map(|_| match protocol {
        Protocol::Http => http(addresses[0], &asked),
        Protocol::Udp => udp(addresses[0], &asked),
    });
    Response::ok(report(results))
}

/// The keys that have anything to tell, as JSON.
fn report(results: impl Iterator<Item = io::Result<String>>) -> String {
    let (mut responses, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(response) => responses.push(Value::from(response)),
            Err(error) => errors.push(Value::from(error.to_string())),
        }
    }
    let mut report = Map::new();
    for (key, values) in [("errors", errors), ("responses", responses)] {
        if !values.is_empty() {
            report.insert(key.to_owned(), Value::from(values));
        }
    }
    Value::from(report).to_string()
}

fn udp(address: SocketAddr, asked: &str) -> io::Result<String> {
    let answer = connect::exchange(address, asked.as_bytes(), Some(PATIENCE));
    let answer = answer.map_err(|error| about(address, "udp", &error))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The body, whatever the status; no redirect is followed.
fn http(address: SocketAddr, asked: &str) -> io::Result<String> {
    let answer = fetch(address, asked).map_err(|error| about(address, "http", &error))?;
    let body = body(&answer).ok_or_else(|| {
        about(
            address,
            "http",
            &io::Error::other("that was no HTTP answer"),
        )
    })?;
    Ok(String::from_utf8_lossy(body).into_owned())
}

/// HTTP/1.0, so that the answer ends with the connection and comes in no chunks.
fn fetch(address: SocketAddr, asked: &str) -> io::Result<Vec<u8>> {
    let is_unsafe = |c: char| c.is_ascii_control() || c == ' ';
    if asked.contains(is_unsafe) {
        return Err(io::Error::other("the request has blanks in it"));
    }
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /{asked} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn body(answer: &[u8]) -> Option<&[u8]> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    match parsed.parse(answer) {
        Ok(httparse::Status::Complete(length)) => answer.get(length..),
        _ => None,
    }
}

fn about(address: SocketAddr, protocol: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{protocol}://{address}: {error}"))
}
