//! Calls [`fuzz::laws::secrets::api_key`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::secrets::api_key(data));
