//! How many requests a second somebody may make.
//!
//! Each has a bucket, by the generic cell rate algorithm: of a bucket only the time
//! is kept at which it will be full again. One that is full is that of somebody who
//! was never there, so it is forgotten.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use postrider_model::time::Clock;

/// Buckets of one limit (W9), a hundred bytes each at most. While all of them are
/// in use, who has none waits for [`NO_BUCKET_WAIT`].
const MAX_BUCKETS: usize = 65_536;
const NO_BUCKET_WAIT: Duration = Duration::from_secs(1);
/// From how many buckets on it is worth to look for full ones.
const FIRST_SWEEP: usize = 1_024;

/// So many requests a second, and how many of them may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRate {
    /// Requests a second.
    pub per_second: NonZeroU32,
    /// Requests at once after a quiet time.
    pub burst: NonZeroU32,
}

/// A limit for each of many.
pub(crate) struct RateLimit<K> {
    clock: Arc<dyn Clock>,
    /// The time in which one request more is allowed.
    interval: Duration,
    /// The time in which an empty bucket becomes full.
    capacity: Duration,
    buckets: Mutex<Buckets<K>>,
}

struct Buckets<K> {
    /// When each will be full, by the monotonic clock.
    full_at: HashMap<K, Duration>,
    /// How many there are when full ones are looked for again.
    sweep_at: usize,
    /// Not before this time while there is no room.
    next_sweep: Duration,
}

impl<K> fmt::Debug for RateLimit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl<K: Copy + Eq + Hash> RateLimit<K> {
    pub(crate) fn new(rate: RequestRate, clock: Arc<dyn Clock>) -> Self {
        let interval = Duration::from_secs(1) / rate.per_second.get();
        let buckets = Buckets { full_at: HashMap::new(), sweep_at: FIRST_SWEEP, next_sweep: Duration::ZERO };
        Self { clock, interval, capacity: interval * rate.burst.get(), buckets: Mutex::new(buckets) }
    }

    /// Takes a request out of a bucket.
    ///
    /// # Errors
    /// There is none in it: how long it takes until there is.
    pub(crate) fn take(&self, key: K) -> Result<(), Duration> {
        let now = self.clock.monotonic();
        let mut buckets = self.buckets.lock();
        let full_at = self.allowed(buckets.full_at.get(&key).copied(), now)?;
        if !buckets.full_at.contains_key(&key) && !buckets.has_room(now) {
            return Err(NO_BUCKET_WAIT);
        }
        buckets.full_at.insert(key, full_at);
        Ok(())
    }

    /// When the bucket is full once a request has been taken out of it.
    fn allowed(&self, full_at: Option<Duration>, now: Duration) -> Result<Duration, Duration> {
        let full_at = full_at.map_or(now, |full_at| full_at.max(now)) + self.interval;
        match full_at.saturating_sub(now + self.capacity) {
            Duration::ZERO => Ok(full_at),
            wait => Err(wait),
        }
    }
}

impl<K: Eq + Hash> Buckets<K> {
    /// Makes room for one more, if that can be. Looking through all of them costs
    /// little for each that was added since the last time.
    fn has_room(&mut self, now: Duration) -> bool {
        if self.full_at.len() >= self.sweep_at && now >= self.next_sweep {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.sweep_at = (2 * self.full_at.len()).clamp(FIRST_SWEEP, MAX_BUCKETS);
            self.full_at.shrink_to(self.sweep_at);
            self.next_sweep = if self.full_at.len() < MAX_BUCKETS { now } else { now + NO_BUCKET_WAIT };
        }
        self.full_at.len() < MAX_BUCKETS
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use postrider_model::time::UnixMs;
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Set(AtomicU64);

    impl Set {
        fn pass(&self, time: Duration) {
            self.0.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        }
    }

    impl Clock for Set {
        fn now(&self) -> UnixMs {
            UnixMs(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_nanos(self.0.load(Ordering::Relaxed))
        }
    }

    fn limit<K: Copy + Eq + Hash>(per_second: u32, burst: u32) -> (RateLimit<K>, Arc<Set>) {
        let clock = Arc::new(Set::default());
        let number = |number| NonZeroU32::new(number).expect("it is not zero");
        let rate = RequestRate { per_second: number(per_second), burst: number(burst) };
        (RateLimit::new(rate, Arc::clone(&clock) as _), clock)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_and_then_one_after_the_other() {
        let (limit, clock) = limit(10, 3);
        for _ in 0..3 {
            assert_eq!(limit.take('a'), Ok(()));
        }
        assert_eq!(limit.take('a'), Err(ms(100)));
        assert_eq!(limit.take('b'), Ok(()), "somebody else has a bucket of their own");
        clock.pass(ms(60));
        assert_eq!(limit.take('a'), Err(ms(40)), "what is refused takes nothing");
        clock.pass(ms(40));
        assert_eq!((limit.take('a'), limit.take('a')), (Ok(()), Err(ms(100))));
        clock.pass(ms(5_000));
        let taken = (0..10).filter(|_| limit.take('a').is_ok()).count();
        assert_eq!(taken, 3, "a bucket holds no more than a burst");
    }

    #[test]
    fn who_is_idle_is_forgotten() {
        let (limit, clock) = limit(1, 1);
        for key in 0..FIRST_SWEEP {
            limit.take(key).expect("each has a bucket");
        }
        clock.pass(ms(1_000));
        limit.take(FIRST_SWEEP).expect("a bucket");
        assert_eq!(limit.buckets.lock().full_at.len(), 1);
    }

    #[test]
    fn there_are_never_more_buckets_than_the_limit_and_who_has_one_keeps_it() {
        let (limit, clock) = limit(1, 2);
        for key in 0..MAX_BUCKETS {
            limit.take(key).expect("each has a bucket");
        }
        assert_eq!(limit.take(MAX_BUCKETS), Err(NO_BUCKET_WAIT));
        assert_eq!(limit.take(7), Ok(()));
        assert_eq!(limit.take(7), Err(ms(1_000)));
        assert_eq!(limit.buckets.lock().full_at.len(), MAX_BUCKETS);
        clock.pass(ms(1_000));
        assert_eq!(limit.take(MAX_BUCKETS), Ok(()));
        assert_eq!(limit.buckets.lock().full_at.len(), 2, "what is full was forgotten");
    }

    proptest! {
        /// In no time are there more than a burst and what the rate allows.
        #[test]
        fn no_window_has_more(per_second in 1..2_000_u32, burst in 1..50_u32, waits in prop::collection::vec(0..400_u64, 1..200)) {
            let (limit, clock) = limit(per_second, burst);
            let mut taken = vec![];
            for wait in waits {
                clock.pass(ms(wait));
                if limit.take(()).is_ok() {
                    taken.push(clock.monotonic());
                }
                // The counted window begins with each of them.
                for (index, from) in taken.iter().enumerate() {
                    let window = (clock.monotonic() - *from).as_secs_f64();
                    let most = f64::from(burst) + window * f64::from(per_second) + 0.001;
                    prop_assert!((taken.len() - index) as f64 <= most);
                }
            }
        }
    }
}
