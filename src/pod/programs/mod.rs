//! The programs of the built-in images, which run in containers.
//!
//! A lab has no registry to pull from, so the images that teaching material
//! and tests use are podnet's own: `podnet program NAME [ARGS…]`, the smaller
//! `podnet-program NAME [ARGS…]`, or either under the program's name. They
//! answer as the originals do.
//!
//! They are often process 1 of a PID namespace, for which the kernel drops
//! every signal that has no handler (pid_namespaces(7)): [`end`] has one. There
//! is one per container, so memory counts: threads and blocking sockets, no
//! async runtime, and no clap on the way to them.

mod agnhost;
mod end;
mod flags;
mod http;
mod kubia;
mod listen;
mod pause;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use flags::FlagError;
use listen::ListenError;

/// What can follow `podnet program`.
pub const NAMES: [&str; 4] = ["kubia", "kubia-unhealthy", "agnhost", "pause"];
/// `podnet program NAME` runs a program under any name of the binary.
pub const SUBCOMMAND: &str = "program";

/// Why a program ended that should have gone on.
#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Flag(#[from] FlagError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("catch SIGTERM and SIGINT: {0}")]
    Signals(#[source] io::Error),
    #[error("start a thread that {what}: {source}")]
    Thread {
        what: &'static str,
        #[source]
        source: io::Error,
    },
}

/// What `podnet` does with a command line that asks for a program: runs it to
/// its end. `None` if it asks for none.
pub fn dispatch(command_line: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let words: Vec<OsString> = command_line.collect();
    let (name, args) = asked(&words, Some(SUBCOMMAND))?;
    Some(run_to_end(name, args))
}

/// What `podnet-program` does.
pub fn main(command_line: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = command_line.collect();
    let (name, args) = asked(&words, None).unwrap_or(("", &[]));
    run_to_end(name, args)
}

/// The program's name and its arguments: the binary's own name, or what comes
/// after it and `subcommand`.
fn asked<'a>(words: &'a [OsString], subcommand: Option<&str>) -> Option<(&'a str, &'a [OsString])> {
    let (called, mut rest) = words.split_first()?;
    let called = Path::new(called).file_name().and_then(OsStr::to_str)?;
    if NAMES.contains(&called) {
        return Some((called, rest));
    }
    if let Some(subcommand) = subcommand {
        let (first, others) = rest.split_first()?;
        if first != subcommand {
            return None;
        }
        rest = others;
    }
    match rest.split_first() {
        // A name that is not text is no program's either.
        Some((name, args)) => Some((name.to_str().unwrap_or_default(), args)),
        None => Some(("", &[])),
    }
}

fn run_to_end(name: &str, args: &[OsString]) -> ExitCode {
    let args: Vec<String> = args
        .iter()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    match run(name, &args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say_error(&format!("Error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, args: &[String]) -> Result<u8, ProgramError> {
    match name {
        "kubia" => kubia::run(args, kubia::Health::Lasting),
        "kubia-unhealthy" => kubia::run(args, kubia::Health::Failing),
        "agnhost" => agnhost::run(args),
        "pause" => pause::run(args),
        _ => Err(ProgramError::Usage(format!(
            "there is no program {name:?}; there are {}",
            NAMES.join(", ")
        ))),
    }
}

fn no_arguments(program: &str, args: &[String]) -> Result<(), ProgramError> {
    match args.first() {
        None => Ok(()),
        Some(arg) => Err(ProgramError::Usage(format!(
            "{program} takes no arguments, and was given {arg:?}"
        ))),
    }
}

/// A line that cannot be written, to a full disk or a closed pipe, is no reason to stop serving.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn say_error(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Asked anew each time: it is the pod's, and cheap.
fn hostname() -> String {
    match nix::unistd::gethostname() {
        Ok(name) => name.to_string_lossy().into_owned(),
        // Fails for no name that Linux allows (64 bytes, `__NEW_UTS_LEN`).
        Err(_) => "localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_asked_for_by_the_binarys_name_or_after_it() {
        let words = |text: &str| -> Vec<OsString> { text.split(' ').map(OsString::from).collect() };
        let podnet = |text: &str| {
            let words = words(text);
            asked(&words, Some(SUBCOMMAND)).map(|(name, args)| (name.to_owned(), args.len()))
        };
        let found = |name: &str, args| Some((name.to_owned(), args));
        assert_eq!(podnet("/agnhost netexec -p"), found("agnhost", 2));
        assert_eq!(podnet("podnet program kubia"), found("kubia", 0));
        assert_eq!(podnet("podnet program"), found("", 0));
        assert_eq!(podnet("pause program kubia"), found("pause", 2));
        assert_eq!(podnet("podnet up"), None);
        assert_eq!(podnet("podnet"), None);
        let own = words("podnet-program kubia a");
        assert_eq!(asked(&own, None).map(|(name, _)| name), Some("kubia"));
    }
}
