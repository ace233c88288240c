//! Times at which something is to happen, in order.
//!
//! A sorted set, not a wheel: it is exact at any distance, needs no tick, and
//! what is no longer waited for is taken out again, so it is never larger than
//! what it serves. The one of all lanes holds one entry per parked lane; the one
//! inside a lane holds one entry per delivery, at most `lane_window`.

use std::collections::BTreeSet;

/// Keys ordered by time; among equal times by key. `T` is a wall-clock or a
/// monotonic time, and one structure never mixes them.
#[derive(Clone, Debug)]
pub(crate) struct Timers<T, K> {
    entries: BTreeSet<(T, K)>,
}

impl<T, K> Default for Timers<T, K> {
    fn default() -> Self {
        Self { entries: BTreeSet::new() }
    }
}

impl<T: Ord + Copy, K: Ord + Copy> Timers<T, K> {
    pub(crate) fn insert(&mut self, at: T, key: K) {
        self.entries.insert((at, key));
    }

    /// Takes an entry out, if it is there.
    pub(crate) fn remove(&mut self, at: T, key: K) -> bool {
        self.entries.remove(&(at, key))
    }

    pub(crate) fn contains(&self, at: T, key: K) -> bool {
        self.entries.contains(&(at, key))
    }

    /// The earliest entry.
    pub(crate) fn first(&self) -> Option<(T, K)> {
        self.entries.first().copied()
    }

    /// The earliest time.
    pub(crate) fn next(&self) -> Option<T> {
        self.first().map(|(at, _)| at)
    }

    /// The time of the entry behind so many others.
    pub(crate) fn nth(&self, n: usize) -> Option<T> {
        self.entries.iter().nth(n).map(|(at, _)| *at)
    }

    /// Takes out the earliest entry whose time has come; never one before its time.
    pub(crate) fn pop_due(&mut self, now: T) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.entries.pop_first().map(|(_, key)| key)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn everything_due_comes_in_order_and_nothing_early(
            times in prop::collection::vec(0u64..100, 0..50), now in 0u64..100,
        ) {
            let mut timers = Timers::default();
            for (key, at) in times.iter().enumerate() {
                timers.insert(*at, key);
            }
            let mut popped = Vec::new();
            while let Some(key) = timers.pop_due(now) {
                popped.push(key);
            }
            let mut expected: Vec<_> = times.iter().copied().enumerate().filter(|(_, at)| *at <= now).collect();
            expected.sort_by_key(|(key, at)| (*at, *key));
            prop_assert_eq!(popped, expected.iter().map(|(key, _)| *key).collect::<Vec<_>>());
            prop_assert_eq!(timers.len(), times.iter().filter(|at| **at > now).count());
            prop_assert!(timers.next().is_none_or(|next| next > now));
        }
    }
}
