//! Calls [`fuzz::laws::requests::gateway_event`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::requests::gateway_event(data));
