//! Calls [`fuzz::laws::events::stream_records`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::events::stream_records(data));
