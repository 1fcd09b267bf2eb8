//! Reading the fabric back for a person.
