//! Calls [`fuzz::laws::zoom::rest`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::zoom::rest(data));
