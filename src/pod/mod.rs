//! The pod runtime.
//!
//! Each pod has a directory named after its uid, and in it the socket of its
//! `podnet-pause`. There is no other record: a pod is alive if its pause
//! process answers. So an agent that was killed finds its pods again, and
//! nothing has to be kept in step.

pub mod bundle;
mod client;
mod find;
pub mod image;
pub mod kubelet;
pub mod life;
pub mod logs;
mod nonblocking;
pub mod pause;
pub mod plan;
pub mod probe;
pub mod programs;
pub mod protocol;
mod remove;
mod runtime;
mod settings;
mod wire;
mod worker;

/// See [`crate::fuzzing`].
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing {
    pub use super::image::fuzzing::image;
    pub use super::kubelet::fuzzing::{spdy, websocket};
    pub use super::logs::fuzzing::logs;
}

pub use client::{Attached, Changes, Exec, NewPod, Pause, PauseError, Stdio, spawn};
pub use find::{FoundSandbox, find_sandbox, find_sandboxes};
pub use remove::remove_tree;
pub use runtime::{PauseSandbox, Runtime, pause_program};
pub use settings::{BackOffScale, ImageSource, NamedImage, Settings, SettingsError};

/// The pause process listens on it, in the pod's directory.
pub const SOCKET: &str = "sandbox.sock";
/// Tells the pause process that its pod will have no IPv6 address.
pub const NO_IPV6: &str = "--no-ipv6";
/// Tells the pause process that its pod is in its node's network.
pub const HOST_NETWORK: &str = "--host-network";
/// Holds `namespace/name`, in the pod's directory.
const NAME_FILE: &str = "pod";
