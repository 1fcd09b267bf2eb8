//! What podnet says to a Kubernetes API.

pub mod kubeconfig;
pub mod pki;
