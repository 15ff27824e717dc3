//! Calls [`fuzz::laws::webhooks::webhook`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::webhooks::webhook(data));
