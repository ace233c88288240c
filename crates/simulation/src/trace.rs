//! What happened in a run, in order.

/// Lines that are kept; no run has so many.
const KEPT: usize = 100_000;

/// A line for each thing that happened. Two runs are equal if all of theirs are.
#[derive(Default)]
pub(crate) struct Trace(Vec<String>);

impl Trace {
    pub(crate) fn add(&mut self, ms: u64, what: std::fmt::Arguments<'_>) {
        if self.0.len() < KEPT {
            self.0.push(format!("{ms:>7} {what}"));
        }
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.0
    }
}
