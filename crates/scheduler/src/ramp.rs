//! The global ramp: how many attempts may be at their beginning at the same time.
//!
//! After a start, and after the wall clock has leapt forward, very many retries
//! are overdue at once. Each lane begins at one in flight, which spares the
//! endpoints; the ramp spares the machine and what all endpoints share, and fair
//! turns decide who comes first meanwhile.
//!
//! What costs something is the beginning: to read the job, to resolve, to connect.
//! An attempt that goes on for longer only waits, and makes room for the next one.
//! So endpoints that answer late or never cannot hold all that is allowed (W11).

use std::time::Duration;

use postrider_model::delivery::DeliveryKey;
use postrider_model::time::UnixMs;

use crate::moment::Moment;
use crate::options::Options;
use crate::timers::Timers;

/// A forward jump of the wall clock by more than this starts the ramp anew.
pub(crate) const JUMP: Duration = Duration::from_secs(3_600);

#[derive(Clone, Debug)]
pub(crate) struct Ramp {
    start: u32,
    doubling: Duration,
    max: u32,
    /// For how long an attempt is at its beginning once its job is read.
    beginning: Duration,
    /// The attempts that are, and when that is over.
    young: Timers<Duration, DeliveryKey>,
    began: Duration,
    seen: Moment,
}

impl Ramp {
    pub(crate) fn new(options: &Options, at: Moment) -> Self {
        Self {
            start: options.ramp_start.clamp(1, options.max_in_flight),
            doubling: options.ramp_doubling.max(Duration::from_millis(1)),
            max: options.max_in_flight,
            beginning: options.ramp_beginning,
            young: Timers::default(),
            began: at.monotonic,
            seen: at,
        }
    }

    /// Begins at the bottom again.
    pub(crate) fn restart(&mut self, at: Moment) {
        self.began = at.monotonic;
    }

    /// Compares the clocks; true if the wall clock has leapt forward since the
    /// last look, in which case the ramp begins anew.
    pub(crate) fn leapt(&mut self, at: Moment) -> bool {
        let passed = at.monotonic.saturating_sub(self.seen.monotonic);
        let expected: UnixMs = self.seen.now + passed;
        self.seen = at;
        let leapt = at.now.since(expected) > JUMP;
        if leapt {
            self.restart(at);
        }
        leapt
    }

    /// The dispatcher has an attempt from now on.
    pub(crate) fn sent(&mut self, key: DeliveryKey, monotonic: Duration) {
        if self.limit(monotonic) < self.max {
            self.young.insert(monotonic + self.beginning, key);
        }
    }

    /// An attempt has ended that the dispatcher has had since `sent`.
    pub(crate) fn ended(&mut self, key: DeliveryKey, sent: Duration) {
        self.young.remove(sent + self.beginning, key);
    }

    /// Lets those go whose beginning is over.
    pub(crate) fn advance(&mut self, monotonic: Duration) {
        while self.young.pop_due(monotonic).is_some() {}
    }

    /// Whether one more attempt may begin beside those whose jobs are being read.
    pub(crate) fn has_room(&self, fetching: u32, monotonic: Duration) -> bool {
        self.young.len() + (fetching as usize) < self.limit(monotonic) as usize
    }

    /// Attempts that may be at their beginning.
    pub(crate) fn limit(&self, monotonic: Duration) -> u32 {
        let limit = u64::from(self.start) << self.doublings(monotonic).min(31);
        u32::try_from(limit).unwrap_or(u32::MAX).min(self.max)
    }

    /// When there is room next by itself: a beginning is over, or the limit grows.
    pub(crate) fn next(&self, monotonic: Duration) -> Option<Duration> {
        let grows = self.limit(monotonic) < self.max;
        let grown =
            grows.then(|| self.began + self.doubling.saturating_mul(self.doublings(monotonic).saturating_add(1)));
        grown.into_iter().chain(self.young.next()).min()
    }

    fn doublings(&self, monotonic: Duration) -> u32 {
        let elapsed = monotonic.saturating_sub(self.began);
        u32::try_from(elapsed.as_nanos() / self.doubling.as_nanos()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment { now: UnixMs(secs * 1_000), monotonic: Duration::from_secs(secs) }
    }

    #[test]
    fn the_limit_doubles_until_it_is_reached() {
        let ramp = Ramp::new(&Options { max_in_flight: 300, ..Options::default() }, at(10));
        let limits: Vec<_> = [10, 11, 12, 14, 16, 1_000_000].map(|secs| ramp.limit(at(secs).monotonic)).into();
        assert_eq!(limits, [64, 64, 128, 256, 300, 300]);
        assert_eq!(ramp.next(at(11).monotonic), Some(Duration::from_secs(12)));
        assert_eq!(ramp.next(at(16).monotonic), None);
    }

    #[test]
    fn it_never_shrinks_by_overflow() {
        let options = Options { max_in_flight: 1 << 20, ramp_start: 1 << 19, ..Options::default() };
        let ramp = Ramp::new(&options, at(0));
        let mut last = 0;
        for secs in 0..200 {
            let limit = ramp.limit(at(secs).monotonic);
            assert!(limit >= last);
            last = limit;
        }
        assert_eq!(last, 1 << 20);
    }

    #[test]
    fn an_attempt_is_at_its_beginning_for_its_time_and_no_longer() {
        let delivery = crate::testing::key(1, 1);
        let mut ramp = Ramp::new(&Options { ramp_start: 1, ..Options::default() }, at(0));
        assert!(ramp.has_room(0, Duration::ZERO) && !ramp.has_room(1, Duration::ZERO));
        ramp.sent(delivery, Duration::ZERO);
        let beginning = Options::default().ramp_beginning;
        assert_eq!(ramp.next(Duration::ZERO), Some(beginning));
        ramp.advance(beginning - Duration::from_millis(1));
        assert!(!ramp.has_room(0, beginning));
        ramp.advance(beginning);
        assert!(ramp.has_room(0, beginning));
    }

    #[test]
    fn when_all_may_begin_at_once_no_beginning_is_kept() {
        let options = Options { max_in_flight: 2, ramp_start: 2, ..Options::default() };
        let mut ramp = Ramp::new(&options, at(0));
        ramp.sent(crate::testing::key(1, 1), Duration::ZERO);
        assert_eq!(ramp.next(Duration::ZERO), None, "there is nothing to wake up for");
        assert!(ramp.has_room(1, Duration::ZERO));
    }

    #[test]
    fn only_a_long_leap_forward_counts() {
        let mut ramp = Ramp::new(&Options::default(), at(0));
        assert!(!ramp.leapt(at(100_000)), "time that passed on both clocks is no leap");
        let back = Moment { now: UnixMs(0), ..at(100_001) };
        assert!(!ramp.leapt(back));
        let hour = Moment { now: UnixMs(3_600_000), ..at(100_001) };
        assert!(!ramp.leapt(hour));
        let more = Moment { now: UnixMs(7_200_001), ..at(100_001) };
        assert!(ramp.leapt(more));
        assert_eq!(ramp.limit(more.monotonic), 64);
    }
}
