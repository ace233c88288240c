//! An attempt in flight: from the pick until its outcome is recorded.
//!
//! ```text
//!   picked -> Fetching -> Sent -> Settling -> recorded
//!                |                   ^
//!                +----> Damaged -----+   (its dead letter is recorded)
//! ```

use std::time::Duration;

use postrider_model::delivery::Scheduled;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use crate::queue::Waits;

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its job is being read.
    Fetching,
    /// The dispatcher has it.
    Sent,
    /// Its outcome is on its way to the disk. Only the word that it is recorded
    /// ends this: a cancellation, a replay or a resend may be told meanwhile.
    Settling,
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
    /// It is a dead letter; with its order key's hash, or 0.
    Died(u64),
}

/// An attempt in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// The message's sequence.
    pub(crate) message: Position,
    /// What it waited for when it was picked.
    pub(crate) scheduled: Scheduled,
    /// When its message was accepted; known when its job has been read.
    pub(crate) accepted: UnixMs,
    /// Its order key's hash, or 0.
    pub(crate) order_key: u64,
    /// The order that it holds up, or 0.
    pub(crate) order: u64,
    /// What was paid for its turn.
    pub(crate) price: Duration,
    /// It is the probe of its lane's breaker.
    pub(crate) probe: bool,
    /// How far it is.
    pub(crate) phase: Phase,
    /// What came since.
    pub(crate) news: Option<News>,
}
