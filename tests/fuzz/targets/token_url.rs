//! Calls [`fuzz::laws::secrets::token_url`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::secrets::token_url(data));
