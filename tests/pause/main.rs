//! podnet-pause runs containers: real processes in real namespaces.

mod confined;
mod exec;
mod logs;
mod place;
mod processes;
mod run;
mod share;
#[path = "../support/mod.rs"]
mod support;
mod users;
