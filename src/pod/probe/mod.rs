//! Asking containers how they are, as the kubelet does (pkg/probe,
//! pkg/kubelet/prober).
//!
//! Checks go out from the node's own network, each over a connection of its own
//! with nothing kept in between. A check is data ([`Check`]); [`Checker::check`]
//! carries one out, and [`Threshold`] says what a row of answers comes to.

mod grpc;
mod http;
mod target;
mod threshold;

pub use target::{Check, HttpCheck, Rhythm, Target};
pub use threshold::Threshold;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// What is kept of what a check answers.
pub const MAX_OUTPUT: usize = 10 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Good,
    /// Good, but there is something to say about it.
    Warning(String),
    Bad(String),
}

impl Answer {
    pub fn is_good(&self) -> bool {
        !matches!(self, Answer::Bad(_))
    }
}

/// How a program that was run in a container came out.
pub struct Output {
    pub exit_code: i32,
    /// What it wrote, the first [`MAX_OUTPUT`] bytes.
    pub text: String,
}

/// Runs programs in the container that is checked.
pub trait Programs: Sync {
    /// The program is killed when the future is dropped.
    fn run(&self, argv: &[String]) -> impl Future<Output = Result<Output, String>> + Send;
}

/// The answer of one check, at the latest after `patience`.
pub async fn check(check: &Check, patience: Duration, programs: &impl Programs) -> Answer {
    let answered = match check {
        Check::Http(http) => timeout(patience, http::get(http)).await,
        Check::Tcp(target) => timeout(patience, connects(target)).await,
        Check::Grpc { target, service } => timeout(patience, grpc::ask(target, service)).await,
        Check::Exec(argv) => timeout(patience, succeeds(argv, programs)).await,
    };
    answered.unwrap_or_else(|_| Answer::Bad(late(check, patience)))
}

fn late(check: &Check, patience: Duration) -> String {
    match check {
        Check::Http(http) => format!(
            "Get \"{http}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        ),
        Check::Tcp(target) => format!("dial tcp {target}: i/o timeout"),
        Check::Grpc { target, .. } => format!(
            "timeout: failed to connect service \"{target}\" within {}s: context deadline exceeded",
            patience.as_secs()
        ),
        Check::Exec(argv) => format!(
            "command timed out: {:?} timed out after {}s",
            argv.join(" "),
            patience.as_secs()
        ),
    }
}

async fn connects(target: &Target) -> Answer {
    match connect(target).await {
        Ok(_) => Answer::Good,
        Err(why) => Answer::Bad(why),
    }
}

async fn succeeds(argv: &[String], programs: &impl Programs) -> Answer {
    match programs.run(argv).await {
        Ok(output) if output.exit_code == 0 => Answer::Good,
        Ok(output) => Answer::Bad(output.text),
        Err(why) => Answer::Bad(why),
    }
}

/// A new connection. The error reads as Go's net package says it, which is what
/// people look for.
async fn connect(target: &Target) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("dial tcp {target}: connect: {}", reason(&error));
    match target {
        Target::Address(ip, port) => TcpStream::connect(SocketAddr::new(*ip, *port)).await,
        Target::Name(name, port) => TcpStream::connect((name.as_str(), *port)).await,
    }
    .map_err(failed)
}

/// `connection refused`, without the number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let plain = text.split(" (os error").next().unwrap_or(&text);
    plain.to_lowercase()
}
