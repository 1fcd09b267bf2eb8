//! Standard output, whose reader may have seen enough: `podnet get pods | head -1`.
//!
//! `print!` and `println!` in the command line are these. The standard library's panic where nobody
//! reads any more; other programs are ended by SIGPIPE, which Rust ignores. To let it end this one
//! would end it too where a socket's other side is gone, which is an error to tell or to try again
//! after, and the server and the agents are this same binary. So here the write alone decides: one
//! that finds no reader ends the process as the signal would, without a word.

use std::fmt;
use std::io::{self, Write};
use std::process;

use nix::sys::signal::Signal;

/// As shells report a program that SIGPIPE has ended (POSIX.1 §2.8.2).
const UNREAD: i32 = 128 + Signal::SIGPIPE as i32;

macro_rules! print {
    ($($text:tt)*) => {
        $crate::cli::output::print(::std::format_args!($($text)*))
    };
}

macro_rules! println {
    () => {
        $crate::cli::output::print(::std::format_args!("\n"))
    };
    ($($text:tt)*) => {
        $crate::cli::output::print(::std::format_args!("{}\n", ::std::format_args!($($text)*)))
    };
}

/// At once, even what is less than a line. Ends the process if it cannot.
pub fn print(text: fmt::Arguments<'_>) {
    print_to(io::stdout(), text);
}

/// As [`print`], without the colors where there is no terminal to show them.
pub fn print_colored(text: fmt::Arguments<'_>) {
    print_to(anstream::stdout(), text);
}

fn print_to(mut stdout: impl Write, text: fmt::Arguments<'_>) {
    let printed = stdout.write_fmt(text).and_then(|()| stdout.flush());
    match printed {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(UNREAD),
        Err(error) => {
            // There may be as little room for this.
            let _ = writeln!(io::stderr(), "error: cannot print: {error}");
            process::exit(1)
        }
    }
}
