//! How far long work is, for a person at a terminal.

use std::borrow::Cow;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// A bar on standard error; nothing is shown if that is no terminal, or for programs.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins to count things of this name.
    pub(crate) fn start(output: Output, unit: &'static str) -> Self {
        Self::with(output, "{bar:30} {pos} of {len} {msg}, {eta} left").name(unit)
    }

    /// Begins to count bytes.
    pub(crate) fn bytes(output: Output, what: &'static str) -> Self {
        Self::with(output, "{msg} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left").name(what)
    }

    fn with(output: Output, template: &str) -> Self {
        let target = if output.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::with_draw_target(Some(0), target);
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    fn name(self, name: &'static str) -> Self {
        Self(self.0.with_message(name))
    }

    /// So many of so many are done.
    pub(crate) fn set(&mut self, done: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(done);
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
