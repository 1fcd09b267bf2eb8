//! A pod's place in its node's range.
//!
//! The kernel refuses to make two links of one name, so the link name `pod17`
//! is at once the lock on, the record of, and the way to find the address that
//! lies 17 above the base of the node's range, in every family.

use std::fmt;

const PREFIX: &str = "pod";

/// Offset of an address from the base of the node's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Slot {
    /// The node's own address on its bridge.
    pub const GATEWAY: Slot = Slot(1);
    /// The first that a pod can have.
    pub const FIRST: Slot = Slot(2);

    /// `None` below [`Slot::FIRST`].
    pub fn new(offset: u32) -> Option<Slot> {
        (offset >= Slot::FIRST.0).then_some(Slot(offset))
    }

    pub fn offset(self) -> u32 {
        self.0
    }

    /// `None` unless the name is `pod`, then a number from 2, written without
    /// leading zeros: each slot has exactly one name.
    pub fn of_link(name: &str) -> Option<Slot> {
        let slot = Slot::new(name.strip_prefix(PREFIX)?.parse().ok()?)?;
        (slot.to_string() == name).then_some(slot)
    }

    /// At most 13 bytes, so always a link name.
    pub fn link_name(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}
