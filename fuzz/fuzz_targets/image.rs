//! Layers of images.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| podnet::fuzzing::image(input));
