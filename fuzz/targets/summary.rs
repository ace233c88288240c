//! What the index says of a segment.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postrider_outbox::fuzzing::summary(bytes));
