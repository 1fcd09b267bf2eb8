//! What a client may cost.

use std::time::Duration;

/// Bounds on connections, requests and what is sent to whoever does not read it.
///
/// Requests' bodies are held to kube-apiserver's 3 MiB whatever is said here.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a TLS handshake may take. 10 s.
    pub handshake: Duration,
    /// How long a client may take for the head of a request, and may say nothing on a connection
    /// of HTTP/1.1. 30 s.
    pub head: Duration,
    /// How long a request may take, its body and the store included, until its answer begins; it
    /// is 504 then. 60 s, as kube-apiserver's `--request-timeout`.
    pub request: Duration,
    /// How long a client may leave what it is sent unread; the stream, or the connection where
    /// that is the stream, is then dropped. 60 s.
    pub stalled: Duration,
    /// The most that the head of a request may have, in bytes; beyond that it is 431. 64 KiB.
    pub head_bytes: u32,
    /// How many connections a listener has at a time; more wait to be accepted. 4,096.
    pub connections: usize,
    /// How many watches there are at a time; one more is 429. 10,000.
    pub watches: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            request: Duration::from_secs(60),
            stalled: Duration::from_secs(60),
            head_bytes: 64 << 10,
            connections: 4_096,
            watches: 10_000,
        }
    }
}
