//! A cluster on one box: its topology, its supervisor and the way in.

pub mod bring_up;
mod console;
pub mod control;
pub mod doctor;
pub mod enter;
pub mod export;
mod init;
mod isolate;
pub mod launch;
pub mod state;
pub mod stop;
mod supervisor;
pub mod topology;

use std::error::Error;

pub use state::LabDir;

/// An error and its causes on one line, for where only text can travel.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
