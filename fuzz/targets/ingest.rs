//! What a local program writes to the ingest socket.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postrider_ingest::fuzzing::lines(bytes));
