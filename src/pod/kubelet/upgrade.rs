//! Turning a request into a connection that carries streams.
//!
//! Clients ask for WebSockets (RFC 6455) or, older ones, for SPDY/3.1; both name the protocols
//! that they speak on it, and the first that is known here is taken.

use hyper::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::response;
use hyper::{HeaderMap, Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::status::Failure;

const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const SPDY: &str = "SPDY/3.1";

/// What will carry the streams, and the protocol on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    WebSocket(&'static str),
    Spdy(&'static str),
}

/// Protocols that a kind of request can speak, the preferred first.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub websocket: &'static [&'static str],
    pub spdy: &'static [&'static str],
}

pub const CHANNEL_V5: &str = "v5.channel.k8s.io";
pub const CHANNEL_V4: &str = "v4.channel.k8s.io";
pub const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
pub const PORT_FORWARD: &str = "portforward.k8s.io";

pub const REMOTE_COMMAND: Offer = Offer {
    websocket: &[CHANNEL_V5, CHANNEL_V4],
    spdy: &[CHANNEL_V4],
};
pub const FORWARDING: Offer = Offer {
    websocket: &[TUNNEL, CHANNEL_V5, CHANNEL_V4],
    spdy: &[PORT_FORWARD],
};

/// The head of the answer that accepts the upgrade.
///
/// # Errors
/// 400 for a request that asks for no upgrade, 403 for protocols that nobody here speaks.
pub fn accept(headers: &HeaderMap, offer: Offer) -> Result<(Carrier, response::Builder), Failure> {
    let accepted = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade");
    if !lists(headers, &CONNECTION).any(|one| one.eq_ignore_ascii_case("upgrade")) {
        return Err(Failure::bad(
            "unable to upgrade: the request does not ask for it",
        ));
    }
    let upgrade = headers
        .get(UPGRADE)
        .map_or(b"" as &[u8], HeaderValue::as_bytes);
    if upgrade.eq_ignore_ascii_case(b"websocket") {
        let key = headers
            .get(SEC_WEBSOCKET_KEY)
            .filter(|_| {
                headers
                    .get(SEC_WEBSOCKET_VERSION)
                    .is_some_and(|v| v == "13")
            })
            .ok_or_else(|| Failure::bad("unable to upgrade: no WebSocket of version 13"))?;
        let protocol = choose(headers, &SEC_WEBSOCKET_PROTOCOL, offer.websocket)?;
        let answer = accepted
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
            .header(SEC_WEBSOCKET_PROTOCOL, protocol);
        return Ok((Carrier::WebSocket(protocol), answer));
    }
    if upgrade.eq_ignore_ascii_case(SPDY.as_bytes()) {
        let protocol = choose(headers, &STREAM_PROTOCOL, offer.spdy)?;
        let answer = accepted
            .header(UPGRADE, SPDY)
            .header(STREAM_PROTOCOL, protocol);
        return Ok((Carrier::Spdy(protocol), answer));
    }
    let asked = String::from_utf8_lossy(upgrade);
    Err(Failure::bad(format!(
        "unable to upgrade: to {asked:?}; there are websocket and {SPDY}"
    )))
}

fn choose(
    headers: &HeaderMap,
    name: &HeaderName,
    known: &[&'static str],
) -> Result<&'static str, Failure> {
    let asked: Vec<&str> = lists(headers, name).collect();
    let chosen = known.iter().find(|one| asked.contains(*one));
    chosen.copied().ok_or_else(|| {
        Failure::forbidden(format!(
            "unable to upgrade: the client speaks {asked:?}, here are {known:?}"
        ))
    })
}

/// The items of a header that may be repeated, and have several in one.
fn lists<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pairs: &[(&'static str, &'static str)]) -> Result<Carrier, Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        accept(&headers, REMOTE_COMMAND).map(|(carrier, _)| carrier)
    }

    #[test]
    fn the_best_protocol_that_both_know_is_taken() {
        let websocket = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        for (asked, taken) in [
            ("v4.channel.k8s.io", CHANNEL_V4),
            ("v4.channel.k8s.io, v5.channel.k8s.io", CHANNEL_V5),
        ] {
            let all = [&websocket[..], &[("sec-websocket-protocol", asked)]].concat();
            assert_eq!(ask(&all), Ok(Carrier::WebSocket(taken)));
        }
        let spdy = [
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", "v3.channel.k8s.io"),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ];
        assert_eq!(ask(&spdy), Ok(Carrier::Spdy(CHANNEL_V4)));
        assert_eq!(ask(&spdy[..3]).map_err(|error| error.code), Err(403));
        assert_eq!(ask(&spdy[1..]).map_err(|error| error.code), Err(400));
        assert_eq!(ask(&websocket[..2]).map_err(|error| error.code), Err(400));
    }

    /// RFC 6455 §1.3 has this example.
    #[test]
    fn the_key_is_answered() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (CONNECTION, "Upgrade"),
            (UPGRADE, "websocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (SEC_WEBSOCKET_PROTOCOL, TUNNEL),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let (_, answer) = accept(&headers, FORWARDING).unwrap();
        let accept = &answer.headers_ref().unwrap()[SEC_WEBSOCKET_ACCEPT];
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
