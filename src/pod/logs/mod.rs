//! Reading what containers wrote.
//!
//! podnet-pause writes one file per run of a container, in the CRI log format,
//! and rotates it by renaming: `LOG` is being written, `LOG.1` came before it, `LOG.4` is the
//! oldest. A reader takes them as one log, from the oldest that is there.
//!
//! Memory stays flat: a reader holds one block, whatever the size of the log and of its lines.

mod files;
mod follow;
mod reader;
mod record;
mod shelf;
mod tail;
#[cfg(test)]
mod tests;

pub use files::{Run, log_of};
pub use follow::{LogError, stream};
pub use reader::LogReader;
#[cfg(any(test, feature = "fuzzing"))]
pub use reader::fuzzing;
pub use shelf::Shelf;

use jiff::Timestamp;

/// Which part of a log, and how (Kubernetes' `PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Only so many lines from the end. A line that is not finished counts. `None`: all there are.
    pub tail: Option<u64>,
    /// Nothing that was written before. Applies to what `tail` leaves.
    pub since: Option<Timestamp>,
    /// Each line begins with the time it was written.
    pub timestamps: bool,
    /// Stop after so many bytes, within a line if need be.
    pub limit_bytes: Option<u64>,
    /// Go on with what is written, until the container has ended.
    pub follow: bool,
}
