//! What a node does for the API server: logs, exec, attach and port-forward of its pods.
//!
//! ```text
//!  API server ─► kubelet.sock ─► service ─► logs                  (files)
//!                                   └─► upgrade ─► websocket ─┐
//!                                           └────► spdy ──────┴► console, forward ─► podnet-pause
//! ```
//!
//! It serves HTTP/1.1 on a Unix socket that only the lab's own user can reach; who may ask for what is
//! the API server's affair. It knows nothing of what the agent plans: a pod is there if its
//! directory is, so this goes on while the agent waits for its API.

mod console;
mod container;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod program;
mod query;
mod service;
mod spdy;
mod status;
mod upgrade;
mod websocket;

pub use service::{Kubelet, KubeletError, connect};

/// Its socket, in the node's directory.
pub const SOCKET: &str = "kubelet.sock";
