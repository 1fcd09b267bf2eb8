//! Which node gets which part of the cluster range, and which pod which address.
//!
//! All of it is arithmetic. Nothing is remembered: who holds what is answered
//! by the name of a Lease (a node's CIDR) or of a link (a pod's address).

mod carve;
mod slots;

pub use carve::{candidates, capacity, index_of, lease_name, nth};
pub use slots::{address, addresses, gateway, gateways, mac, slot_capacity, slot_of, slots_from};
