//! The embedded API server over real TLS, through a stock client library.

mod lab;
mod verbs;
