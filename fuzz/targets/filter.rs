//! A filter, and a payload that it is asked of.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postrider_model::fuzzing::filter(bytes));
