//! `luksa/kubia` and `luksa/kubia-unhealthy`, of *Kubernetes in Action*: a web
//! server that says which pod answered, and one that soon stops doing so.
//!
//! The originals are Node programs. What can be seen of them is kept: their
//! lines, and that an IPv4 client of a socket for both families is shown as
//! `::ffff:10.244.0.2`. Not kept: as process 1 they ignore SIGTERM.

use std::sync::atomic::{AtomicU64, Ordering};

use ::http::StatusCode;

use super::end::{End, code_of_signal};
use super::http::{Request, Response, Server};
use super::{ProgramError, hostname, listen, no_arguments, say};

const PORT: u16 = 8080;
/// So many requests find the failing one well.
const WELL_FOR: u64 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Lasting,
    Failing,
}

pub fn run(args: &[String], health: Health) -> Result<u8, ProgramError> {
    no_arguments("kubia", args)?;
    let mut end = End::expect(&[])?;
    say("Kubia server starting...");
    let requests = AtomicU64::new(0);
    let answer = move |request: &Request| {
        say(&format!("Received request from {}", request.peer.ip()));
        let earlier = requests.fetch_add(1, Ordering::Relaxed);
        match health {
            Health::Failing if earlier >= WELL_FOR => Response::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "I'm not well. Please restart me!",
            ),
            _ => Response::new(StatusCode::OK, format!("You've hit {}\n", hostname())),
        }
    };
    Server::start(listen::tcp(PORT)?, answer)?;
    Ok(code_of_signal(end.next()))
}
