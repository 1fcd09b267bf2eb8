//! Reading the fabric back for a person.

pub mod check;
mod namespaces;
mod settle;

pub use namespaces::{NodeError, NodeKernel};
pub use settle::{SettleError, settle};
