//! Reading the fabric back for a person.

pub mod check;
mod namespaces;
mod settle;

pub use namespaces::node_netns;
pub use settle::{SettleError, settle};
