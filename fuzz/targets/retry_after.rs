//! A `Retry-After` header.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postrider_model::fuzzing::retry_after(bytes));
