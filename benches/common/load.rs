//! Events, and when they are to be sent.

use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use super::event::Events;

/// Some events, and when they are to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) events: Events,
    pub(crate) numbers: Range<usize>,
    pub(crate) pace: Pace,
}

impl Load {
    /// Itself in so many parts, one after the other.
    pub(crate) fn parts(&self, count: usize) -> impl Iterator<Item = Self> {
        let (first, all, count) = (self.numbers.start, self.numbers.len(), count.max(1));
        let begin = move |nth: usize| first + all * nth / count;
        (0..count).map(move |nth| Self { numbers: begin(nth)..begin(nth + 1), ..self.clone() })
    }
}

/// When each event is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    began: Instant,
    first: usize,
    rate: Option<u32>,
}

impl Pace {
    /// Begins now, with event `first`.
    pub(crate) fn new(first: usize, rate: Option<u32>) -> Self {
        Self { began: Instant::now(), first, rate }
    }

    fn due(&self, n: usize) -> Option<Instant> {
        let rate = self.rate?;
        let seconds = n.saturating_sub(self.first) as f64 / f64::from(rate.max(1));
        Some(self.began + Duration::from_secs_f64(seconds))
    }

    /// Whether event `n` may be sent.
    pub(crate) fn is_due(&self, n: usize) -> bool {
        self.due(n).is_none_or(|due| due <= Instant::now())
    }

    /// Waits until event `n` may be sent.
    pub(crate) async fn wait_for(&self, n: usize) {
        if let Some(due) = self.due(n) {
            tokio::time::sleep_until(due).await;
        }
    }
}
