//! The process that is a pod: `podnet-pause DIR HOSTNAME [--no-ipv6] [--host-network]`.
//!
//! Started as process 1 of a PID namespace, it makes the pod's other namespaces,
//! listens on `DIR/sandbox.sock`, prints `ready` and runs containers until it is
//! told to stop over that socket, gets SIGTERM or is killed. See [`podnet::pod::pause`].

use std::process::ExitCode;

use podnet::pod::pause::{Arguments, run};
use podnet::pod::{HOST_NETWORK, NO_IPV6};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(arguments) = Arguments::parse(&words) else {
        eprintln!("usage: podnet-pause DIR HOSTNAME [{NO_IPV6}] [{HOST_NETWORK}]");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("podnet-pause: {}: {error}", arguments.hostname);
            ExitCode::FAILURE
        }
    }
}
