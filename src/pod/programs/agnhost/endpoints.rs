//! What netexec answers over HTTP and UDP, where that takes no more than the
//! question and the moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ::http::StatusCode;
use jiff::Timestamp;

use super::super::hostname;
use super::super::http::{Request, Response};
use super::{address, dial, log, shell};

/// Codes that end an exchange; those below promise another answer.
const CODES: std::ops::RangeInclusive<u16> = 200..=999;

/// `None` for the paths that end the program.
pub fn answer(request: &Request, now: Timestamp) -> Option<Response> {
    Some(match request.path.as_str() {
        "/exit" | "/shutdown" => return None,
        "/clientip" => {
            log("GET /clientip");
            Response::ok(address::canonical(request.peer).to_string())
        }
        "/dial" => dial::answer(request),
        "/echo" => echo(request),
        "/header" => header(request),
        // The UDP sockets are there before the first connection is accepted.
        "/healthz" => {
            log("GET /healthz");
            Response::ok("")
        }
        path @ ("/hostname" | "/hostName") => {
            log(&format!("GET {path}"));
            Response::ok(hostname())
        }
        "/redirect" => redirect(request),
        "/shell" => shell::answer(request),
        "/upload" => Response::new(
            StatusCode::NOT_IMPLEMENTED,
            "podnet's agnhost takes no uploads; write a file with /shell?cmd=\n",
        ),
        // Whatever else is asked for.
        _ => {
            log("GET /");
            let now = now.strftime("%Y-%m-%d %H:%M:%S.%9f +0000 UTC");
            Response::ok(format!("NOW: {now}"))
        }
    })
}

/// What is to be said of a code that is none.
fn code(text: &str, default: StatusCode) -> Result<StatusCode, Response> {
    if text.is_empty() {
        return Ok(default);
    }
    let code = text.parse().ok().filter(|code| CODES.contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| {
            Response::ok(format!(
                "argument 'code' must be an integer or empty, got {text:?}\n"
            ))
        })
}

fn echo(request: &Request) -> Response {
    let (text, asked) = (request.value("msg"), request.value("code"));
    log(&format!("GET /echo?msg={text}&code={asked}"));
    match code(&asked, StatusCode::OK) {
        Ok(code) => Response::new(code, text),
        Err(refusal) => refusal,
    }
}

fn redirect(request: &Request) -> Response {
    let (location, asked) = (request.value("location"), request.value("code"));
    log(&format!(
        "{} /redirect?msg={location}&code={asked}",
        request.method
    ));
    match code(&asked, StatusCode::FOUND) {
        Ok(code) => Response::new(code, "").with_header("Location", location),
        Err(refusal) => refusal,
    }
}

/// One header's first value, or all as Go's http.Header is shown in JSON.
fn header(request: &Request) -> Response {
    let key = request.value("key");
    if !key.is_empty() {
        log(&format!("GET /header?key={key}"));
        return Response::ok(request.header(&key).unwrap_or_default());
    }
    log("GET /header");
    let mut headers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in &request.headers {
        // Go keeps it apart from the headers.
        if !name.eq_ignore_ascii_case("host") {
            headers.entry(canonical(name)).or_default().push(value);
        }
    }
    Response::ok(serde_json::json!(headers).to_string())
}

/// `X-Forwarded-For` for `x-forwarded-for`.
fn canonical(name: &str) -> String {
    let mut begins = true;
    let letter = |c: char| {
        let c = if begins {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        };
        begins = c == '-';
        c
    };
    name.chars().map(letter).collect()
}

/// The answer to a datagram; `None` if it is no command.
pub fn datagram(data: &[u8], peer: SocketAddr) -> Option<String> {
    // The original echoes in lower case, too.
    let command = String::from_utf8_lossy(data).trim().to_lowercase();
    let client = address::canonical(peer);
    match command.as_str() {
        "hostname" => Some(hostname()),
        "clientip" => Some(client.to_string()),
        _ => match command.strip_prefix("echo ") {
            Some(text) => Some(text.to_owned()),
            None => {
                if !command.is_empty() {
                    log(&format!(
                        "Unknown UDP command received from {client}: {command}"
                    ));
                }
                None
            }
        },
    }
}
