//! How far long work is, for a person at a terminal.

use std::borrow::Cow;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// A bar on standard error; nothing is shown if that is no terminal, or for programs.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins to count things of this name.
    pub(crate) fn start(output: Output, unit: &'static str) -> Self {
        let target = if output.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} {msg}, {eta} left");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(unit))
    }

    /// So many of so many are done.
    pub(crate) fn set(&mut self, done: usize, of: usize) {
        self.0.set_length(of as u64);
        self.0.set_position(done as u64);
    }

    /// Says more than the count: what it is of, in words.
    pub(crate) fn say(&mut self, text: impl Into<Cow<'static, str>>) {
        self.0.set_message(text);
    }

    /// Takes the bar away.
    pub(crate) fn end(self) {
        self.0.finish_and_clear();
    }
}
