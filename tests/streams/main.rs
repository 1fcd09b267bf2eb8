//! Logs, exec, attach and port-forward, from the client to the container: a real API server, the
//! node's service, and podnet-pause.

#[path = "../support/container.rs"]
mod container;
mod exec;
mod forward;
#[path = "../support/forwarded.rs"]
mod forwarded;
mod kubectl;
mod logs;
mod place;
#[path = "../support/mod.rs"]
mod support;
