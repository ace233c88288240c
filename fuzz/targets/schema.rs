//! A schema of payloads, and a payload that is compared with it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postrider_model::fuzzing::schema(bytes));
