//! Calls [`fuzz::laws::secrets::connect_secrets`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::secrets::connect_secrets(data));
