//! The built-in images' programs and nothing else: `podnet-program NAME [ARGS…]`,
//! or this file under a program's name.
//!
//! `podnet program NAME` does the same. But the kernel and the loader charge a
//! process for what its binary could do: podnet's own has megabytes of
//! addresses to relocate, in each of a lab's containers; this one has few.

use std::process::ExitCode;

use podnet::pod::programs;

fn main() -> ExitCode {
    programs::main(std::env::args_os())
}
