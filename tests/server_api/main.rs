//! The embedded API server over real TLS, through a stock client library.

mod access;
mod claims;
mod controllers;
mod lab;
mod services;
mod verbs;
mod watches;
mod workloads;
mod writes;
