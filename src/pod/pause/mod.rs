//! The process that is a pod: owns its namespaces, and runs its containers.
//!
//! It is process 1 of a PID namespace of its own, so that whatever ends it, ends
//! every container with it. It outlives the agent that started it, and does what
//! [`protocol`](super::protocol) says to whoever connects. There is one of these
//! per pod, so its memory counts: no async runtime, no thread, no buffer without
//! a bound. It never waits for one thing: all it knows is one [`pod::Pod`], and
//! [`serve`] is its only loop.

mod attach;
mod child;
mod connection;
mod container;
mod dial;
mod inside;
mod launch;
mod lines;
mod log;
mod mounts;
mod pod;
mod program;
mod root;
mod serve;
mod start;
mod step;
mod sys;
mod user;

use step::Step;

pub use program::protect_program;
pub use start::Arguments;
pub use step::StartError;

/// Until the pod is told to stop.
pub fn run(arguments: &Arguments) -> Result<(), StartError> {
    let (listener, signals) = start::start(arguments)?;
    let users = user::IdMap::of_users().step("read which users there are")?;
    let groups = user::IdMap::of_groups().step("read which groups there are")?;
    let mut pod = pod::Pod::new(users, groups);
    start::report_ready()?;
    serve::serve(&mut pod, &listener, &signals).step("serve")
}
