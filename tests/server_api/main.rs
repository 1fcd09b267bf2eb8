//! The embedded API server over real TLS, through a stock client library.

mod access;
mod claims;
mod controllers;
mod lab;
mod verbs;
mod watches;
mod writes;
