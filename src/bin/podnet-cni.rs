//! The CNI plugin: the runtime's words in, [`podnet::cni`]'s answer out.
//!
//! `podnet-cni reap` is what the plugin starts by itself to delete dead links.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use podnet::cni::{self, Answer, Environment};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(cni::REAP) {
        return match cni::reap_when_quiet() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("podnet-cni: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let environment = Environment::read(|name| std::env::var_os(name));
    let mut input = Vec::new();
    let answer = match io::stdin().lock().read_to_end(&mut input) {
        Ok(_) => cni::answer(&environment, &input),
        Err(error) => cni::input_error(error),
    };
    say(&answer)
}

/// A runtime that does not listen is told by the exit code all the same.
fn say(answer: &Answer) -> ExitCode {
    let mut out = io::stdout();
    match out
        .write_all(answer.output.as_bytes())
        .and_then(|()| out.flush())
    {
        Ok(()) => ExitCode::from(answer.exit_code),
        Err(_) => ExitCode::FAILURE,
    }
}
