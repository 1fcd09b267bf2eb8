//! podnet-pause runs containers: real processes in real namespaces.

mod place;
mod run;
#[path = "../support/mod.rs"]
mod support;
