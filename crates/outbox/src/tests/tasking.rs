//! What tests of tasks do with an outbox.

use std::path::Path;

use postrider_model::ports::Control as _;
use postrider_model::task::Task;

use super::support::{Running, options};
use crate::Options;

/// Nobody asks for it.
pub(crate) const OTHER: &str = "order.seen";

/// A small window, and small segments: some are sealed, and their rows in the index on disk.
pub(crate) fn windowed(dir: &Path, lane_window: usize) -> Options {
    Options { lane_window, segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir) }
}

impl Running {
    /// How many a task has sent, and whether it has ended.
    pub(crate) fn sent_by(&self, task: &Task) -> (u64, bool) {
        let task = self.outbox.task(task.id).expect("it is known");
        (task.sent, task.finished)
    }

    /// Rounds until the task has ended; gives how many it has sent.
    pub(crate) fn finish(&mut self, task: &Task) -> u64 {
        for _ in 0..10 {
            self.keeper.round();
            // What the keeper asks for last is not waited for.
            self.send("shop", OTHER, "after");
            if let (sent, true) = self.sent_by(task) {
                return sent;
            }
        }
        panic!("it does not end: {:?}", self.sent_by(task));
    }
}
