//! Calls [`fuzz::laws::links::urls`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::links::urls(data));
