//! `registry.k8s.io/e2e-test-images/agnhost`, the image of Kubernetes' own
//! tests: the subcommands that are about a pod's network, with their flags,
//! answers and ports (kubernetes/kubernetes, test/images/agnhost).
//!
//! Not here: TLS, SCTP and file uploads, which are refused with a reason.

mod address;
mod connect;
mod dial;
mod endpoints;
mod liveness;
mod netexec;
mod pause;
mod porter;
mod serve_hostname;
mod shell;
mod test_webserver;

use jiff::Timestamp;

use super::flags::{Flag, Flags};
use super::{ProgramError, say, say_error};

/// agnhost's version whose behaviour this is.
const LIKE: &str = "2.53";
const HELP: &str = "\
Answers as Kubernetes' agnhost does, for what is about a pod's network.

Usage:
  agnhost [command]

Available Commands:
  connect         Attempts a TCP or UDP connection and says how it failed
                  HOST:PORT [--timeout DURATION] [--protocol tcp|udp] [--udp-data TEXT]
  help            Prints this
  liveness        Serves /healthz on 8080, well for 10 seconds only
  netexec         Serves HTTP and UDP with many endpoints
                  [--http-port 8080] [--udp-port 8081] [--udp-listen-addresses A,B]
                  [--http-override PATH] [--delay-shutdown SECONDS]
  pause           Pauses the execution
                  [--delay-shutdown SECONDS]
  porter          Answers on port N with what SERVE_PORT_N says
  serve-hostname  Serves the hostname
                  [--http=true] [--tcp] [--udp] [--port 9376] [--close]
  test-webserver  Serves the container's files over HTTP
                  [--port 80]

Flags:
  -h, --help      Prints this
      --version   Prints the version";

pub fn run(args: &[String]) -> Result<u8, ProgramError> {
    let Some((command, args)) = args.split_first() else {
        say(HELP);
        return Ok(0);
    };
    if args.iter().take_while(|arg| *arg != "--").any(is_help) {
        say(HELP);
        return Ok(0);
    }
    match command.as_str() {
        "connect" => connect::run(args),
        "liveness" => liveness::run(args),
        "netexec" => netexec::run(args),
        "pause" => pause::run(args),
        "porter" => porter::run(args),
        "serve-hostname" => serve_hostname::run(args),
        "test-webserver" => test_webserver::run(args),
        "help" => {
            say(HELP);
            Ok(0)
        }
        "--version" => {
            let own = env!("CARGO_PKG_VERSION");
            say(&format!("agnhost version {LIKE} (podnet {own})"));
            Ok(0)
        }
        _ if is_help(command) => {
            say(HELP);
            Ok(0)
        }
        _ => Err(ProgramError::Usage(format!(
            "unknown command {command:?} for \"agnhost\"; `agnhost help` lists those that \
             podnet has, and the image itself has the others"
        ))),
    }
}

fn is_help(arg: impl AsRef<str>) -> bool {
    matches!(arg.as_ref(), "-h" | "--help")
}

/// For the commands that take flags and nothing else.
fn only_flags(command: &str, known: &[Flag], args: &[String]) -> Result<Flags, ProgramError> {
    let flags = Flags::parse(known, args)?;
    match flags.rest.first() {
        None => Ok(flags),
        Some(arg) => Err(ProgramError::Usage(format!(
            "agnhost {command} takes no arguments, and was given {arg:?}"
        ))),
    }
}

/// Standard error, with the time in front, as Go's log package does it.
fn log(text: &str) {
    let now = Timestamp::now().strftime("%Y/%m/%d %H:%M:%S");
    say_error(&format!("{now} {text}"));
}
