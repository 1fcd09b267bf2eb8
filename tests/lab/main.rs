//! Labs, with the real binary: see [`place`] for what each test gets.

mod cluster;
mod crashes;
mod fabric;
#[path = "../support/forwarded.rs"]
mod forwarded;
mod input;
mod kubectl;
mod lifecycle;
mod observe;
mod place;
mod pods;
mod running;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod verbs;
mod workloads;
