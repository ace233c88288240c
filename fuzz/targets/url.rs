//! The URL of an endpoint, and the address guard. They are compiled by
//! themselves: their crate brings an HTTP client and TLS along.

#![no_main]

#[path = "../../crates/dispatcher/src/fuzzing.rs"]
mod fuzzing;
#[path = "../../crates/dispatcher/src/guard.rs"]
mod guard;
#[expect(dead_code, reason = "the law needs a part of it")]
#[path = "../../crates/dispatcher/src/origin.rs"]
mod origin;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::url(bytes));
