//! The plugin's environment variables.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| podnet::fuzzing::cni_arguments(input));
