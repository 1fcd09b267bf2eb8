//! The built-in images' programs, run as containers run them.

#[path = "../support/mod.rs"]
mod support;

mod agnhost;
mod kubia;
mod life;
mod process;
