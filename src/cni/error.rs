//! What the plugin answers when it does not do what it was asked.

use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::kernel::{KernelError, Refusal};
use crate::model::{AttachmentId, LinkName, NodeCidrs};

use super::version::Version;

/// The specification's codes are 1 to 99 (CNI 1.1 §2, "Error"; 50 and 51 are
/// STATUS's); podnet's own begin at 100.
#[derive(Debug, Error)]
pub enum CniError {
    #[error("cniVersion {given:?} is not one that podnet-cni speaks")]
    Version { given: String },
    #[error("{verb} is not in CNI {given}; it came with {since}")]
    Verb {
        verb: &'static str,
        given: Version,
        since: Version,
    },
    #[error("network configuration has {key} = {value}, which podnet-cni does not support")]
    Unsupported {
        key: String,
        value: String,
        instead: &'static str,
    },
    #[error("network namespace {path} of container {container} cannot be opened: {source}")]
    Sandbox {
        path: String,
        container: String,
        source: std::io::Error,
    },
    #[error("environment variable {name} {why}")]
    Environment { name: &'static str, why: String },
    #[error("cannot read the network configuration from standard input: {0}")]
    Input(std::io::Error),
    #[error("the network configuration is not JSON: {0}")]
    Decode(serde_json::Error),
    #[error("network configuration: {what}")]
    Config { what: String, instead: String },
    #[error("bridge {bridge} of network {network} is not there")]
    NoBridge { network: String, bridge: LinkName },
    #[error("network {network} takes no pods: {why}")]
    NotReady { network: String, why: String },
    #[error("network {network} is limited, for the pods it has too: {why}")]
    Limited { network: String, why: String },
    #[error("all {capacity} addresses of range {cidrs} are taken")]
    UsedUp { cidrs: NodeCidrs, capacity: u32 },
    #[error("attachment {id} cannot be made: {what}")]
    Exists { id: AttachmentId, what: String },
    #[error("address {address}, asked for by {id}, is taken")]
    Taken {
        address: IpNetwork,
        id: AttachmentId,
    },
    #[error("bridge {bridge} is full: a Linux bridge takes 1,023 ports")]
    Full { bridge: LinkName },
    #[error("{0}")]
    Kernel(#[from] KernelError),
    #[error("attachment {id} is not as it was made: {}", differences.join("; "))]
    Differs {
        id: AttachmentId,
        differences: Vec<String>,
    },
    #[error("some of what is to go is still there: {}", failures.join("; "))]
    Remains { failures: Vec<String> },
}

impl CniError {
    pub fn code(&self) -> u32 {
        match self {
            CniError::Version { .. } | CniError::Verb { .. } => 1,
            CniError::Unsupported { .. } => 2,
            CniError::Sandbox { .. } => 3,
            CniError::Environment { .. } => 4,
            CniError::Input(_) => 5,
            CniError::Decode(_) => 6,
            CniError::Config { .. } => 7,
            CniError::NoBridge { .. } => 11,
            CniError::Kernel(error) if error.can_retry() => 11,
            CniError::NotReady { .. } => 50,
            CniError::Limited { .. } => 51,
            CniError::UsedUp { .. } => 100,
            CniError::Exists { .. } => 101,
            CniError::Taken { .. } => 102,
            CniError::Full { .. } => 103,
            CniError::Kernel(_) => 104,
            CniError::Differs { .. } => 105,
            CniError::Remains { .. } => 106,
        }
    }

    /// What to do.
    pub fn details(&self) -> Option<String> {
        let text = match self {
            CniError::Version { .. } => {
                let known = Version::ALL.map(Version::as_str).join(", ");
                return Some(format!("set cniVersion to one of {known}"));
            }
            CniError::Verb { since, .. } => {
                return Some(format!("set cniVersion to {since} or later"));
            }
            CniError::Unsupported { instead, .. } => *instead,
            CniError::Config { instead, .. } => instead,
            CniError::Sandbox { .. } => {
                "the container is gone, or the runtime gave another path than its namespace's"
            }
            CniError::Environment { .. } => "the runtime sets it; see CNI 1.1, section 2",
            CniError::Input(_) | CniError::Decode(_) => {
                "check the file below /etc/cni/net.d that the runtime reads"
            }
            CniError::NoBridge { .. } => {
                "podnet's agent makes it again within seconds; try again, and if it does not, see \
                 the agent's log"
            }
            CniError::NotReady { .. } | CniError::Limited { .. } => {
                "see `podnet agent` of this node, and `ip -details link` for what is there"
            }
            CniError::UsedUp { .. } => {
                "delete pods, or give the network a larger range; `ip link show group 28772` lists \
                 who has an address"
            }
            CniError::Exists { .. } => "the runtime is to DEL it before it ADDs it again",
            CniError::Taken { .. } => "ask for another address, or for none",
            CniError::Full { .. } => "delete pods, or place new ones on another node",
            CniError::Kernel(error) if error.refusal() == Refusal::NotPermitted => {
                "podnet-cni needs CAP_NET_ADMIN over this network namespace and the container's"
            }
            CniError::Kernel(_) => return None,
            CniError::Differs { .. } => "delete the pod; it is given a new attachment",
            CniError::Remains { .. } => "GC can be repeated",
        };
        Some(text.to_owned())
    }
}
