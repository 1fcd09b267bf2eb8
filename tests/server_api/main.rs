//! The embedded API server over real TLS, through a stock client library.

mod access;
mod applies;
mod claims;
mod clients;
mod controllers;
mod evictions;
mod health;
mod kubectl;
mod lab;
mod lists;
mod nodes;
mod owners;
mod patches;
mod services;
mod verbs;
mod watches;
mod workloads;
mod writes;
