//! When the next attempt of a lane may start: one pure value per lane.
//!
//! Three rules, the strictest of which counts:
//! - *allowed in flight*: begins at 1, grows by one with every window of
//!   successes, halves on overload, is never less than 1;
//! - *rate*: see [`crate::throttle`];
//! - *pause*: the endpoint asked for one by `Retry-After`, or the breaker is open.
//!
//! The breaker opens after [`BREAKER_FAILURES`] failures with no sign of life
//! between them. While it is open deliveries wait and burn no attempt. After the
//! pause one probe is sent; a sign of life closes, a failure doubles the pause.
//!
//! Nothing of this is stored: after a start every lane begins fresh.

use std::time::Duration;

use postrider_model::job::{AttemptResult, FailureKind, Verdict};

use crate::throttle::Throttle;

/// Failures in a row that open the breaker.
pub(crate) const BREAKER_FAILURES: u32 = 5;
/// The breaker's first pause.
pub(crate) const BREAKER_PAUSE_MIN: Duration = Duration::from_secs(1);
/// The breaker's longest pause.
pub(crate) const BREAKER_PAUSE_MAX: Duration = Duration::from_secs(60);

/// What an attempt's end says about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// 2xx.
    Success,
    /// Another answer below 500: not what was hoped for, but it answers.
    Alive,
    /// It has too much to do.
    Overload,
    /// It does not answer, or with an error of its own.
    Down,
    /// The attempt failed on our side and says nothing.
    Unknown,
}

impl Signal {
    /// Reads an attempt's end.
    pub(crate) fn of(result: &AttemptResult) -> Self {
        match (result.verdict(), result) {
            (Verdict::Success, _) => Self::Success,
            (Verdict::Overload, _) => Self::Overload,
            (_, AttemptResult::Answered(response)) if response.status < 500 => Self::Alive,
            (_, AttemptResult::Failed { kind: FailureKind::Internal, .. }) => Self::Unknown,
            _ => Self::Down,
        }
    }
}

/// Whether an attempt may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At once.
    Now,
    /// Not before this monotonic time.
    NotBefore(Duration),
    /// Not before one in flight has ended.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaker {
    Closed { failures: u32 },
    Open { until: Duration, doublings: u32 },
    Probing { doublings: u32 },
}

/// When the next attempt of a lane may start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    ceiling: u32,
    allowed: u32,
    successes: u32,
    throttle: Throttle,
    asked_until: Duration,
    breaker: Breaker,
}

impl Pace {
    /// A lane that may grow to `ceiling` in flight.
    pub(crate) fn new(ceiling: u32, rate_per_second: Option<u32>, monotonic: Duration) -> Self {
        Self {
            ceiling: ceiling.max(1),
            allowed: 1,
            successes: 0,
            throttle: Throttle::new(rate_per_second, monotonic),
            asked_until: Duration::ZERO,
            breaker: Breaker::Closed { failures: 0 },
        }
    }

    /// Takes another rate.
    pub(crate) fn set_rate(&mut self, rate_per_second: Option<u32>, monotonic: Duration) {
        self.throttle.set_rate(rate_per_second, monotonic);
    }

    /// Begins at one in flight again, with a closed breaker. What the endpoint
    /// asked for and its rate stay.
    pub(crate) fn restart(&mut self) {
        (self.allowed, self.successes) = (1, 0);
        self.breaker = Breaker::Closed { failures: 0 };
    }

    /// Attempts that may be in flight at present.
    pub(crate) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// The end of the present pause, rate aside.
    pub(crate) fn paused_until(&self) -> Duration {
        match self.breaker {
            Breaker::Open { until, .. } => until.max(self.asked_until),
            Breaker::Closed { .. } | Breaker::Probing { .. } => self.asked_until,
        }
    }

    /// Whether an attempt may start beside `in_flight` others.
    pub(crate) fn start(&self, monotonic: Duration, in_flight: u32) -> Start {
        if in_flight >= self.allowed || matches!(self.breaker, Breaker::Probing { .. }) {
            return Start::Full;
        }
        let earliest = self.paused_until().max(self.throttle.next());
        if earliest > monotonic { Start::NotBefore(earliest) } else { Start::Now }
    }

    /// Counts an attempt that starts now; true if it is the probe.
    pub(crate) fn started(&mut self, monotonic: Duration) -> bool {
        self.throttle.take(monotonic);
        let Breaker::Open { doublings, .. } = self.breaker else { return false };
        self.breaker = Breaker::Probing { doublings };
        true
    }

    /// An attempt that had started was not made after all.
    pub(crate) fn withdrawn(&mut self, monotonic: Duration, probe: bool) {
        if let (Breaker::Probing { doublings }, true) = (self.breaker, probe) {
            self.breaker = Breaker::Open { until: monotonic, doublings };
        }
    }

    /// Learns from the end of an attempt. `pause` is what the endpoint asked for,
    /// already clamped.
    pub(crate) fn ended(&mut self, monotonic: Duration, probe: bool, signal: Signal, pause: Option<Duration>) {
        if let Some(pause) = pause {
            self.asked_until = self.asked_until.max(monotonic + pause);
        }
        match signal {
            Signal::Success => self.grow(),
            Signal::Overload => (self.allowed, self.successes) = ((self.allowed / 2).max(1), 0),
            Signal::Alive | Signal::Down | Signal::Unknown => {}
        }
        self.breaker = match signal {
            Signal::Success | Signal::Alive => Breaker::Closed { failures: 0 },
            Signal::Overload | Signal::Down => self.after_failure(monotonic, probe),
            Signal::Unknown => self.after_nothing(monotonic, probe),
        };
        if !matches!(self.breaker, Breaker::Closed { .. }) {
            (self.allowed, self.successes) = (1, 0);
        }
    }

    fn grow(&mut self) {
        self.successes += 1;
        if self.successes >= self.allowed {
            (self.allowed, self.successes) = ((self.allowed + 1).min(self.ceiling), 0);
        }
    }

    fn after_failure(&self, monotonic: Duration, probe: bool) -> Breaker {
        match self.breaker {
            Breaker::Closed { failures } if failures + 1 < BREAKER_FAILURES => {
                Breaker::Closed { failures: failures + 1 }
            }
            Breaker::Closed { .. } => opened(monotonic, 0),
            Breaker::Probing { doublings } if probe => opened(monotonic, doublings.saturating_add(1)),
            // Attempts from before it opened say nothing new; else they would
            // prolong the pause one after the other.
            unchanged @ (Breaker::Open { .. } | Breaker::Probing { .. }) => unchanged,
        }
    }

    fn after_nothing(&self, monotonic: Duration, probe: bool) -> Breaker {
        match self.breaker {
            Breaker::Probing { doublings } if probe => opened(monotonic, doublings),
            unchanged => unchanged,
        }
    }
}

fn opened(monotonic: Duration, doublings: u32) -> Breaker {
    let pause = BREAKER_PAUSE_MIN.saturating_mul(1 << doublings.min(16)).min(BREAKER_PAUSE_MAX);
    Breaker::Open { until: monotonic + pause, doublings }
}

#[cfg(test)]
mod tests;
