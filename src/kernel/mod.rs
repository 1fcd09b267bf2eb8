//! The only code that speaks netlink.
