//! Everything that can happen to an agent.

use std::sync::Arc;

use crate::cluster::{ApiError, Change, NodeView, PodView};
use crate::model::Slot;

use super::pods::StartError;
use super::standing::Told;

pub enum Event<S> {
    Node(Change<NodeView>),
    Pod(Change<PodView>),
    /// Something changed in the kernel: look again.
    Kernel,
    /// A job for one pod has ended.
    Job(Job<S>),
    /// The node's own object could not be written, or could.
    Told(Told),
    /// Time to look at what is due.
    Tick,
    Stop,
}

pub enum Job<S> {
    Started {
        uid: String,
        /// The sandbox is there even if plugging it in failed.
        sandbox: Option<Arc<S>>,
        result: Result<Slot, StartError>,
    },
    /// The sandbox has ended, asked or not.
    Ended {
        uid: String,
        container_id: String,
    },
    Stopped {
        uid: String,
    },
    Reported {
        uid: String,
        result: Result<(), ApiError>,
    },
    /// A pause after a failure is over.
    Retry {
        uid: String,
    },
}
