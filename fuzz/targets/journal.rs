//! Segment files of the journal, and their recovery.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postrider_outbox::fuzzing::journal(bytes));
