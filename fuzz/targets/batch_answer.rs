//! A receiver's answer to a batch. It is compiled by itself: its crate brings an HTTP client
//! and TLS along.

#![no_main]

#[path = "../../crates/dispatcher/src/batch/answer.rs"]
mod answer;
#[path = "../../crates/dispatcher/src/batch/fuzzing.rs"]
mod fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::batch_answer(bytes));
