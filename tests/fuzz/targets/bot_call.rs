//! Calls [`fuzz::laws::vendors::bot_call`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::vendors::bot_call(data));
