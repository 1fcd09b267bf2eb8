//! podnet: a Kubernetes-style pod network for one Linux box and for real nodes.
//!
//! The modules are layers; each may use only those above it in this list, and
//! `tests/layers.rs` holds that.

pub mod model;

pub mod ipam;

pub mod plan;

pub mod kernel;

pub mod cluster;

pub mod agent;

pub mod pod;

pub mod server;

pub mod cni;

pub mod lab;

pub mod insight;

pub mod cli;
