//! What a lab is made of, resolved and validated.
//!
//! Pure but for reading the file: [`LabFile`] is what was said, [`Lab`] is what
//! it means.

mod file;
mod lab;
mod label;
mod pods;
mod underlay;

use std::io;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::model::{Family, NameError, NodeName, RangeError};

pub use file::{LabFile, NodeEntry, NodeMasks, Overrides, Spec, numbered_nodes};
pub use lab::{Lab, LabName, NodeSpec};
pub use label::parse as parse_label;
pub use pods::PodSettings;
pub use underlay::Underlay;

pub const DEFAULT_NAME: &str = "default";
/// Ports of a Linux bridge, `BR_MAX_PORTS` in net/bridge/br_private.h less one.
const MAX_PORTS: usize = 1023;

#[derive(Debug, Error)]
pub enum TopologyError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{place}: {why}")]
    Malformed { place: String, why: String },
    #[error(
        "{origin} is a {api_version:?} {kind:?}; a lab file says `apiVersion: {}` and `kind: {}`",
        file::API_VERSION,
        file::KIND
    )]
    WrongKind {
        origin: String,
        api_version: String,
        kind: String,
    },
    #[error(transparent)]
    Range(#[from] RangeError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(
        "lab name {0:?} is not a DNS label: use 1 to 63 lower-case letters, digits and '-', \
         with a letter or digit at each end"
    )]
    LabName(String),
    #[error("node {0} is there already")]
    NodeIsThere(NodeName),
    #[error(
        "a node cannot be called {0}: that is what `podnet shell` calls the network between the nodes"
    )]
    ReservedName(NodeName),
    #[error("there are two nodes of the name {0}; give every node a name of its own")]
    DuplicateNode(NodeName),
    #[error("{wanted} nodes do not fit {what} {range}, which holds {holds}; {remedy}")]
    TooManyNodes {
        what: &'static str,
        range: IpNetwork,
        holds: u32,
        wanted: usize,
        remedy: &'static str,
    },
    #[error("{wanted} nodes do not fit one underlay: a bridge takes {MAX_PORTS} ports")]
    TooManyPorts { wanted: usize },
    #[error("{0:?} is no backend; host-gw is the only one there is")]
    Backend(String),
    #[error("an MTU of {0} bytes is out of range; use 1280 to 65535")]
    Mtu(u32),
    #[error("image {name:?} is not usable: {why}")]
    Image { name: String, why: &'static str },
    #[error(
        "host path {} is not usable: give an absolute path without `..`", _0.display()
    )]
    HostPath(PathBuf),
    #[error("label {label:?} is not usable: {why}")]
    Label { label: String, why: &'static str },
    #[error(
        "the cluster range has {family} and the underlay {underlay} has not; \
         add an {family} network to underlayCIDRs"
    )]
    UnderlayLacks { family: Family, underlay: String },
}
