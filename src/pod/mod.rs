//! The pod runtime.
