//! The embedded API server over real TLS, through a stock client library.

mod access;
mod applies;
mod bodies;
mod claims;
mod clients;
mod controllers;
mod dry_runs;
mod evictions;
mod health;
mod kubectl;
mod lab;
mod lists;
mod namespaces;
mod nodes;
mod owners;
mod patches;
mod rollouts;
mod same;
mod services;
mod unread;
mod unready_nodes;
mod updates;
mod verbs;
mod watches;
mod workloads;
mod writes;
