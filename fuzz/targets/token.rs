//! An API token. It is compiled by itself: its crate brings an HTTP server along.

#![no_main]

#[path = "../../crates/api/src/fuzzing.rs"]
mod fuzzing;
#[path = "../../crates/api/src/token.rs"]
mod token;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::token(bytes));
