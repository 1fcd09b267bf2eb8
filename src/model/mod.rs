//! Validated nouns without I/O.
//!
//! A value of a type in here is well-formed by construction, so that no layer
//! below has to ask again. Nothing in here knows about the kernel, files,
//! clocks or the Kubernetes API.

mod architecture;
mod cidr;
mod mac;
mod name;
mod slot;

pub use architecture::architecture;
pub use cidr::{ClusterRanges, Family, NodeCidrs, Pool, RangeError};
pub use mac::Mac;
pub use name::{AttachmentId, LinkName, NameError, NodeName, PodName, is_dns_label};
pub use slot::Slot;
