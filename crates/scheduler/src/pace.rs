//! When the next attempt of a lane may start: one pure value per lane.
//!
//! Three rules, the strictest of which counts:
//! - *allowed in flight*: begins at 1, grows by one with every window of fast
//!   successes, halves on overload, is never less than 1;
//! - *rate*: see [`crate::throttle`];
//! - *pause*: the endpoint asked for one by `Retry-After`, or the breaker is open,
//!   see [`crate::breaker`].
//!
//! Nothing of this is stored: after a start every lane begins fresh.

use std::time::Duration;

use postrider_model::job::{AttemptResult, Outcome, Verdict};
use postrider_model::policy::{BreakerRule, Rules};

use crate::breaker::Breaker;
use crate::throttle::Throttle;

/// The first and the longest pause after no token could be had.
const TOKEN_PAUSE_MIN: Duration = Duration::from_secs(1);
const TOKEN_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How many of them there are until the longest is over: 1, 2, 4, 8, 16, 32 and 60 s.
const TOKEN_PAUSES: u32 = 7;

/// An answer that takes longer is no reason to ask for more at once.
const FAST: Duration = Duration::from_secs(5);

/// What an attempt's end says about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// 2xx.
    Success,
    /// 2xx, after a long time.
    Slow,
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
    /// Reads the end of a request with so many members. One that took some of a batch works.
    pub(crate) fn of(outcome: &Outcome, members: usize) -> Self {
        let took_some = (1..members).contains(&outcome.result.failed().len());
        let verdict = if took_some { Verdict::Success } else { outcome.result.verdict() };
        match (verdict, &outcome.result) {
            (Verdict::Success, _) if outcome.duration > FAST => Self::Slow,
            (Verdict::Success, _) => Self::Success,
            (Verdict::Overload, _) => Self::Overload,
            (_, AttemptResult::Answered(response)) if response.status < 500 => Self::Alive,
            (_, result) if result.says_nothing() => Self::Unknown,
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
    NotBefore(Duration, Because),
    /// Not before one in flight has ended.
    Full,
    /// Not before the breaker's probe has ended.
    Probing,
}

/// What holds a lane for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Because {
    /// Its rate.
    Rate,
    /// The endpoint asked for a pause.
    Asked,
    /// There is no token for its requests.
    NoToken,
    /// The breaker is open.
    Open,
}

/// When the next attempt of a lane may start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    ceiling: u32,
    allowed: u32,
    successes: u32,
    throttle: Throttle,
    asked_until: Duration,
    /// Until when no token is asked for, and how often in a row none could be had.
    token_until: Duration,
    tokens_missed: u32,
    /// Since when there has been neither a token nor an answer.
    token_missing_since: Option<Duration>,
    breaker: Breaker,
    rule: BreakerRule,
}

impl Pace {
    /// The pace of a lane that begins.
    pub(crate) fn new(rules: &Rules, monotonic: Duration) -> Self {
        Self {
            ceiling: rules.max_in_flight,
            allowed: 1,
            successes: 0,
            throttle: Throttle::new(rules.rate, monotonic),
            asked_until: Duration::ZERO,
            token_until: Duration::ZERO,
            tokens_missed: 0,
            token_missing_since: None,
            breaker: Breaker::CLOSED,
            rule: rules.breaker,
        }
    }

    /// Takes other rules. They count at once, but for a pause that has begun.
    pub(crate) fn configure(&mut self, rules: &Rules, monotonic: Duration) {
        (self.ceiling, self.rule) = (rules.max_in_flight, rules.breaker);
        self.allowed = self.allowed.min(self.ceiling).max(1);
        self.throttle.set_rate(rules.rate, monotonic);
    }

    /// Begins at one in flight again, with a closed breaker, and asks for a token
    /// again. What the endpoint asked for and its rate stay.
    pub(crate) fn restart(&mut self) {
        self.expect_token();
        // How long the lane did nothing is no wait for a token.
        self.token_missing_since = None;
        (self.allowed, self.successes) = (1, 0);
        self.breaker = Breaker::CLOSED;
    }

    /// Attempts that may be in flight at present.
    pub(crate) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// Where its breaker is.
    pub(crate) fn breaker(&self) -> Breaker {
        self.breaker
    }

    /// Whether an attempt may start beside `in_flight` others.
    pub(crate) fn start(&self, monotonic: Duration, in_flight: u32) -> Start {
        if matches!(self.breaker, Breaker::HalfOpen { .. }) {
            return Start::Probing;
        }
        if in_flight >= self.allowed {
            return Start::Full;
        }
        let open = self.breaker.open_until().unwrap_or_default();
        let holds = [
            (self.throttle.next(), Because::Rate),
            (self.asked_until, Because::Asked),
            (self.token_until, Because::NoToken),
            (open, Because::Open),
        ];
        let (earliest, because) = holds.into_iter().max().unwrap_or((Duration::ZERO, Because::Rate));
        if earliest > monotonic { Start::NotBefore(earliest, because) } else { Start::Now }
    }

    /// Counts an attempt that starts now; true if it is the probe.
    pub(crate) fn started(&mut self, monotonic: Duration) -> bool {
        self.throttle.take(monotonic);
        self.breaker.started()
    }

    /// An attempt that had started was not made after all.
    pub(crate) fn withdrawn(&mut self, monotonic: Duration, probe: bool) {
        if probe {
            self.breaker.withdrawn(monotonic);
        }
    }

    /// An attempt that had started was not made, because there was no token for it: a pause that grows
    /// with each. True if it is the first in a row.
    pub(crate) fn missed_token(&mut self, monotonic: Duration) -> bool {
        self.token_missing_since.get_or_insert(monotonic);
        if self.token_until > monotonic {
            // Others were under way with it.
            return false;
        }
        let pause = TOKEN_PAUSE_MIN.saturating_mul(1 << self.tokens_missed.min(16)).min(TOKEN_PAUSE_MAX);
        self.token_until = monotonic + pause;
        self.tokens_missed = self.tokens_missed.saturating_add(1);
        self.tokens_missed == 1
    }

    /// Whether a token that is missing now has been missing through the longest pause.
    pub(crate) fn misses_token_for_long(&self, monotonic: Duration) -> bool {
        self.tokens_missed >= TOKEN_PAUSES && self.token_until <= monotonic
    }

    /// For how long a token that is missing now has been missing, as far as is known.
    pub(crate) fn misses_token_for(&self, monotonic: Duration) -> Duration {
        self.token_missing_since.map_or(Duration::ZERO, |since| monotonic.saturating_sub(since))
    }

    /// A token may be had now.
    pub(crate) fn expect_token(&mut self) {
        (self.token_until, self.tokens_missed) = (Duration::ZERO, 0);
    }

    /// Learns from the end of an attempt. `pause` is what the endpoint asked for,
    /// already clamped; `random` in 0..1 spreads the breaker's own.
    pub(crate) fn ended(
        &mut self,
        monotonic: Duration,
        probe: bool,
        signal: Signal,
        pause: Option<Duration>,
        random: f64,
    ) {
        if let Some(pause) = pause {
            self.asked_until = self.asked_until.max(monotonic + pause);
        }
        if signal != Signal::Unknown {
            self.expect_token();
            self.token_missing_since = None;
        }
        match signal {
            Signal::Success => self.grow(),
            Signal::Overload => (self.allowed, self.successes) = ((self.allowed / 2).max(1), 0),
            Signal::Slow | Signal::Alive | Signal::Down | Signal::Unknown => {}
        }
        self.breaker = self.breaker.after(signal, probe, &self.rule, monotonic, random);
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
}

#[cfg(test)]
mod tests;
