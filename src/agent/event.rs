//! Everything that can happen to an agent.

use std::sync::Arc;

use crate::cluster::{ApiError, Change, NodeView, PodView};
use crate::model::Slot;

use super::pods::StartError;
use super::runtime::Reported;
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
    /// A pod's containers are no longer as they were.
    Containers(Reported),
    /// The API answers again.
    Reached,
    /// Time to look at what is due.
    Tick,
    Stop,
}

pub enum Job<S> {
    Started {
        uid: String,
        /// The sandbox is there even if plugging it in failed.
        sandbox: Option<Arc<S>>,
        /// `None`: it lives in the node's own network.
        result: Result<Option<Slot>, StartError>,
    },
    /// Nothing of its containers is left to tend.
    Over {
        uid: String,
        container_id: String,
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
