//! What podnet says to a Kubernetes API: the embedded server's or a real one's.
//!
//! Objects are parsed once, here, into what the agent needs; one that cannot be
//! parsed is skipped and named, and never wedges a watch.

mod claims;
mod client;
mod config_maps;
mod events;
pub mod kubeconfig;
mod nodes;
pub mod pki;
mod pods;
mod reach;
mod watch;

pub use claims::{CLAIM_NAMESPACE, ClaimError, claim};
pub use client::{ApiError, connect, is_conflict, is_gone, is_not_found};
pub use config_maps::{ConfigMapView, config_map};
pub use events::{About, Note, Recorder, recorder};
pub use nodes::{
    Health, NodeView, Registration, heartbeat, list_nodes, node_view, register, set_network,
    set_pod_cidrs, set_status,
};
pub use pods::{
    ContainersReport, PodReport, PodState, PodView, delete_pod, hostname, list_pods, pod_view,
    report,
};
pub use reach::{Reach, Regained, back_off};
pub use watch::{Change, watch_nodes, watch_pods};
