//! Being told to end.
//!
//! A handler, not a mask: a mask would be inherited by what a program starts,
//! and a shell command could then not be ended by SIGTERM either.

use std::ffi::c_int;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::ProgramError;

pub struct End {
    signals: Signals,
}

impl End {
    /// From here on a signal waits to be seen, so ask for it before anything is
    /// said to be ready. `more` are signals to be told of besides SIGTERM and SIGINT.
    pub fn expect(more: &[c_int]) -> Result<End, ProgramError> {
        let signals = [SIGTERM, SIGINT].into_iter().chain(more.iter().copied());
        let signals = Signals::new(signals).map_err(ProgramError::Signals)?;
        Ok(End { signals })
    }

    /// The next signal; blocks until there is one.
    pub fn next(&mut self) -> c_int {
        // The iterator ends only when its handle is closed, and nobody has one.
        self.signals.forever().next().unwrap_or(SIGTERM)
    }
}

/// What a shell reports of a process that ended by this signal.
pub fn code_of_signal(signal: c_int) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}
