//! A signing secret in its text forms.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postrider_model::fuzzing::secret(bytes));
