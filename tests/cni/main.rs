//! The CNI plugin, as a container runtime starts it: the real binary, in real
//! namespaces.

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code)]
#[path = "../lab/place.rs"]
mod lab;

mod agent;
mod allocation;
mod chain;
mod check;
mod containerd;
mod errors;
mod faults;
mod place;
mod races;
mod shape;
mod tidy;
mod verbs;
