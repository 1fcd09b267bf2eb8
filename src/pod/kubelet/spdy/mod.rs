//! SPDY/3.1, as far as Kubernetes' clients use it.
//!
//! kubectl's `port-forward` speaks it, inside a WebSocket or alone, and so do older versions' `exec` and
//! `attach`. A client opens streams and says in their headers what each is for.
//!
//! Those clients know no flow control: they neither heed windows nor grant any. So this does
//! not either, and a stream that is not read holds up its whole connection, as with the kubelet.

mod connection;
mod forward;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod headers;
mod remote;

pub use forward::{forward, forward_tunnelled};
pub use remote::carry;

use std::io;

use thiserror::Error;

#[derive(Debug, Error)]
pub enum SpdyError {
    #[error("the connection broke off")]
    Io(#[from] io::Error),
    #[error("a frame of type {kind} with {bytes} bytes is too large")]
    TooLarge { kind: u16, bytes: usize },
    #[error("a frame of type {kind} is too short")]
    TooShort { kind: u16 },
    #[error("SPDY version {0}, not 3")]
    Version(u16),
    #[error("headers that cannot be read: {0}")]
    Headers(&'static str),
}
