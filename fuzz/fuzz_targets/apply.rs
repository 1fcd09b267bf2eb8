//! Server-side apply.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|input: &[u8]| podnet::fuzzing::apply(input));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    podnet_fuzz::mutate(data, size, max_size, seed)
});
