//! A plan is data.
//!
//! `desired(config, peers) → Desired`; the kernel is read into [`Observed`];
//! `diff(&Desired, &Observed) → Plan`. Both functions are pure, total and
//! ordered and know no clock. Applying a plan twice does nothing the second
//! time, and any prefix of a plan, followed by a new plan, ends in the same
//! place: that is what lets an agent die anywhere.

mod desired;
mod diff;
mod op;
mod state;

pub use desired::{Complaint, NodeConfig, Peer, desired};
pub use diff::diff;
pub use op::{Op, Plan};
pub use state::{
    BRIDGE, BRIDGE_NAME, BRIDGE_WITHOUT_IPV6, Bridge, DEAD_GROUP, Desired, GROUP, Neighbour,
    Observed, ObservedBridge, PROMOTE_SECONDARIES, PROTOCOL, Port, Route, Sysctl, Uplink,
};
