//! Reading the fabric back for a person.

pub mod check;
