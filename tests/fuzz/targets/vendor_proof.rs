//! Calls [`fuzz::laws::vendors::vendor_proof`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::vendors::vendor_proof(data));
