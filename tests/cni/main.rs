//! The CNI plugin, as a container runtime starts it: the real binary, in real
//! namespaces.

#[path = "../support/mod.rs"]
mod support;

mod allocation;
mod check;
mod faults;
mod place;
mod tidy;
mod verbs;
