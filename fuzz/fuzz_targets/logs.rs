//! Logs, as they are read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| podnet::fuzzing::logs(input));
