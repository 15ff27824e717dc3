//! Calls [`fuzz::laws::links::meeting_link`] with the inputs of the fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::laws::links::meeting_link(data));
