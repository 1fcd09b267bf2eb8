//! A cluster on one box: its topology, its supervisor and the way in.

pub mod topology;
