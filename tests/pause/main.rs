//! podnet-pause runs containers: real processes in real namespaces.

mod confined;
#[path = "../support/container.rs"]
mod container;
mod exec;
mod logs;
mod place;
mod processes;
mod run;
mod share;
#[path = "../support/mod.rs"]
mod support;
mod users;
