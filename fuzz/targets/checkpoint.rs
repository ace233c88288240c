//! A checkpoint.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postrider_outbox::fuzzing::checkpoint(bytes));
