//! podnet's one binary: the command line, and what a lab's processes run.

use std::process::ExitCode;

fn main() -> ExitCode {
    podnet::cli::main()
}
