//! `grpc`: the health protocol, version 1, without TLS
//! (github.com/grpc/grpc/blob/master/doc/health-checking.md).
//!
//! Two small messages: `HealthCheckRequest { string service = 1; }` and
//! `HealthCheckResponse { ServingStatus status = 1; }`.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::target::Target;
use super::{Answer, MAX_OUTPUT, connect};

const SERVING: u64 = 1;
const UNIMPLEMENTED: &str = "12";

pub async fn ask(target: &Target, service: &str) -> Answer {
    match status(target, service).await {
        Ok(SERVING) => Answer::Good,
        Ok(status) => {
            let name = match status {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                3 => "SERVICE_UNKNOWN",
                _ => "another status",
            };
            Answer::Bad(format!("service unhealthy (responded with {name:?})"))
        }
        Err(why) => Answer::Bad(why),
    }
}

async fn status(target: &Target, service: &str) -> Result<u64, String> {
    let failed = |why: String| format!("error: health rpc probe failed: {why}");
    let stream = connect(target)
        .await
        .map_err(|why| format!("timeout: failed to connect service \"{target}\": {why}"))?;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(error.to_string()))?;
    let talk = async {
        let request = request(target, service).map_err(|error| failed(error.to_string()))?;
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| failed(error.to_string()))?;
        let (head, body) = response.into_parts();
        refused(&head.headers)?;
        let body = Limited::new(body, MAX_OUTPUT).collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?;
        refused(body.trailers().unwrap_or(&HeaderMap::new()))?;
        serving_status(&body.to_bytes())
            .ok_or_else(|| failed("an answer that cannot be read".to_owned()))
    };
    let mut talk = std::pin::pin!(talk);
    tokio::select! {
        biased;
        answer = &mut talk => answer,
        _ = connection => talk.await,
    }
}

fn request(target: &Target, service: &str) -> Result<Request<Full<Bytes>>, http::Error> {
    Request::post(format!("http://{target}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, "kube-probe/1.33")
        .body(Full::new(framed(service)))
}

/// A gRPC frame: not compressed, length, message.
fn framed(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        put_varint(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put(message);
    frame.freeze()
}

fn put_varint(buffer: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        buffer.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8((value & 0x7f) as u8);
}

/// The first field of the message in a frame; absent means 0.
fn serving_status(frame: &[u8]) -> Option<u64> {
    let (head, rest) = frame.split_at_checked(5)?;
    let length = u32::from_be_bytes(head.get(1..)?.try_into().ok()?);
    let message = rest.get(..usize::try_from(length).ok()?)?;
    let Some((tag, value)) = message.split_first() else {
        return Some(0);
    };
    if head.first() != Some(&0) || *tag != 0x08 {
        return None;
    }
    varint(value)
}

fn varint(bytes: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(index).ok()?)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// # Errors
/// What a `grpc-status` other than 0 says.
fn refused(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some(UNIMPLEMENTED) => Err(
            "error: this server does not implement the grpc health protocol \
             (grpc.health.v1.Health)"
                .to_owned(),
        ),
        Some(code) => Err(format!(
            "error: health rpc probe failed: rpc error: code = {code} desc = {}",
            text("grpc-message").unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_are_as_protobuf_has_them() {
        assert_eq!(framed("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(framed("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(serving_status(&[0, 0, 0, 0, 9, 8, 1]), None);
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(frame in prop::collection::vec(any::<u8>(), 0..40)) {
            serving_status(&frame);
        }

        #[test]
        fn varints_come_back(value: u64) {
            let mut buffer = BytesMut::new();
            put_varint(&mut buffer, value);
            prop_assert_eq!(varint(&buffer), Some(value));
        }
    }
}
