//! The rules that hold everywhere (W1 to W12, `docs/ARCHITECTURE.md`).
//!
//! A broken rule panics in a debug build. In a release build it is counted and
//! reported, and the caller takes the safe way on.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often a rule was seen broken since the process started.
static BROKEN: AtomicU64 = AtomicU64::new(0);

/// The number of broken rules seen since the process started; exported as
/// `postrider_invariant_violations_total`.
#[must_use]
pub fn violations() -> u64 {
    BROKEN.load(Ordering::Relaxed)
}

/// Called by [`crate::check_invariant`]; gives back whether the rule held.
#[must_use]
pub fn report(rule: &'static str, held: bool, what: &str) -> bool {
    if !held {
        BROKEN.fetch_add(1, Ordering::Relaxed);
        debug_assert!(held, "invariant {rule} is broken: {what}");
    }
    held
}

/// Checks a rule of the design by its name: `check_invariant!("W5", !in_flight, "...")`.
/// Panics in debug; in release counts and gives `false`.
#[macro_export]
macro_rules! check_invariant {
    ($rule:literal, $held:expr, $what:expr) => {
        $crate::invariant::report($rule, $held, $what)
    };
}
