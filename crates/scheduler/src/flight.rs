//! An attempt in flight: from the pick until its outcome is recorded.
//!
//! ```text
//!   picked -> Fetching -> Sent -> Settling -> recorded
//!                |                   ^
//!                +----> Damaged -----+   (its dead letter is recorded)
//! ```

use postrider_model::delivery::Scheduled;
use postrider_model::position::Position;

use crate::queue::Waits;

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its job is being read.
    Fetching,
    /// The dispatcher has it.
    Sent,
    /// Its outcome is on its way to the disk.
    Settling {
        /// Another attempt is to follow.
        retry: bool,
    },
    /// Its payload is damaged; the outbox makes it a dead letter.
    Damaged,
}

/// What was told of a delivery while an attempt of it was in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It waits for this attempt.
    Waits(Waits),
    /// It waits no longer.
    Left,
}

/// An attempt in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// The message's sequence.
    pub(crate) message: Position,
    /// What it waited for when it was picked.
    pub(crate) scheduled: Scheduled,
    /// Its order key's hash, or 0.
    pub(crate) order_key: u64,
    /// It is the probe of its lane's breaker.
    pub(crate) probe: bool,
    /// How far it is.
    pub(crate) phase: Phase,
    /// What came since.
    pub(crate) news: Option<News>,
}

impl Flight {
    /// Whether these news say that the attempt's outcome is recorded.
    ///
    /// News of a cancellation or a replay may come while the outcome is still on
    /// its way, and are told apart by what the outcome can lead to:
    /// - waiting for the same attempt cannot follow from its outcome (W6);
    /// - leaving does not follow from a retry, unless the delivery had left
    ///   before, so that the outcome was stale.
    ///
    /// Leaving after a success cannot be told apart from a cancellation at the
    /// same moment. To take it for the end is safe: the HTTP request has ended (W5).
    pub(crate) fn ends_with(&self, news: &News) -> bool {
        match (self.phase, news) {
            (Phase::Damaged, _) => true,
            (Phase::Settling { retry }, News::Left) => !retry || self.news == Some(News::Left),
            (Phase::Settling { .. }, News::Waits(waits)) => {
                let number = waits.scheduled.attempt;
                number != self.scheduled.attempt || number == u16::MAX
            }
            (Phase::Fetching | Phase::Sent, _) => false,
        }
    }
}
