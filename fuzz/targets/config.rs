//! A configuration file. It is read in the binary's package, which is no library.

#![no_main]

// The configuration names one type of the dispatcher, which brings an HTTP client and TLS along.
extern crate self as postrider_dispatcher;

#[expect(dead_code, unused_imports, reason = "the law needs a part of it")]
#[path = "../../bin/config/mod.rs"]
mod config;
#[path = "../../bin/config/fuzzing.rs"]
mod fuzzing;
#[expect(dead_code, reason = "the law needs a part of it")]
#[path = "../../bin/secrets/key.rs"]
mod secrets;
#[path = "../../crates/dispatcher/src/signature_headers.rs"]
mod signature_headers;

pub use signature_headers::SignatureHeaders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::file(bytes));
