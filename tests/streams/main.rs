//! Logs, exec, attach and port-forward, from the client to the container: a real API server, the
//! node's service, and podnet-pause.

mod exec;
mod forward;
mod kubectl;
mod logs;
mod place;
#[path = "../support/mod.rs"]
mod support;
