//! Calls [`fuzz::laws::zoom::tokens`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::zoom::tokens(data));
