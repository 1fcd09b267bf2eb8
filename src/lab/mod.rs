//! A cluster on one box.
