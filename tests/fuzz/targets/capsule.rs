//! Calls [`fuzz::laws::sealed::capsule`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::sealed::capsule(data));
