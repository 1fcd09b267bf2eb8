//! Why a container or a program in one did not start.

use std::fmt::Display;
use std::io;

use crate::pod::protocol::Refusal;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{step}: {source}")]
    Step { step: String, source: io::Error },
    #[error("exec: {program:?}: {why}")]
    NoSuchProgram { program: String, why: String },
}

impl StartError {
    pub fn refusal(&self) -> Refusal {
        match self {
            StartError::Step { .. } => Refusal::Failed,
            StartError::NoSuchProgram { .. } => Refusal::NoSuchProgram,
        }
    }
}

/// Says what was tried when it failed.
pub trait Step<T> {
    fn step(self, what: impl Display) -> Result<T, StartError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, what: impl Display) -> Result<T, StartError> {
        self.map_err(|error| StartError::Step {
            step: what.to_string(),
            source: error.into(),
        })
    }
}
