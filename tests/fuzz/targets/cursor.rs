//! Calls [`fuzz::laws::requests::cursor`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::requests::cursor(data));
