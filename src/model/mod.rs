//! Validated nouns without I/O.
