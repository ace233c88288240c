//! A sorted map that takes hardly more memory than its entries.
//!
//! ```text
//!   [ 1 2 3 .. 32 ] [ 33 34 .. 64 ] [ 65 66 ]      chunks of sorted entries, at most 32 each
//! ```
//!
//! Keys come nearly always in order and go nearly always from the front. std's
//! `BTreeMap` leaves its nodes half empty then, which is half of what a million
//! deliveries that wait take. Here a chunk is full before the next is begun. A
//! change costs a search and the move of a part of one chunk.

use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};

/// Entries of a chunk at most.
const CHUNK: usize = 32;

/// A sorted map, packed.
#[derive(Clone, Debug)]
pub struct PackedMap<K, V> {
    /// Sorted, and none is empty.
    chunks: VecDeque<Vec<(K, V)>>,
    len: usize,
}

/// The place of an entry: its chunk, and where in that.
type Place = (usize, usize);

impl<K, V> Default for PackedMap<K, V> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }
}

impl<K: Ord + Copy, V> PackedMap<K, V> {
    /// Entries, in number.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// There is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let (chunk, place) = self.find(key).ok()?;
        self.chunks.get(chunk)?.get(place).map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (chunk, place) = self.find(key).ok()?;
        self.chunks.get_mut(chunk)?.get_mut(place).map(|(_, value)| value)
    }

    /// Whether the key has a value.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// The entry with the lowest key.
    #[must_use]
    pub fn first(&self) -> Option<(K, &V)> {
        self.chunks.front()?.first().map(|(key, value)| (*key, value))
    }

    /// Gives a key its value; gives back the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, place) = match self.find(&key) {
            Ok((chunk, place)) => {
                let (_, known) = self.chunks.get_mut(chunk)?.get_mut(place)?;
                return Some(std::mem::replace(known, value));
            }
            Err(place) => place,
        };
        self.len += 1;
        match self.chunks.get_mut(at) {
            Some(chunk) if chunk.len() < CHUNK => chunk.insert(place, (key, value)),
            // Behind a full one, at the end: the common case leaves the chunk before it full.
            Some(chunk) if place == chunk.len() => self.chunks.insert(at + 1, vec![(key, value)]),
            Some(chunk) => {
                let mut upper = chunk.split_off(CHUNK / 2);
                if place <= CHUNK / 2 {
                    chunk.insert(place, (key, value));
                } else {
                    upper.insert(place - CHUNK / 2, (key, value));
                }
                self.chunks.insert(at + 1, upper);
            }
            None => self.chunks.push_back(vec![(key, value)]),
        }
        None
    }

    /// Takes an entry out; gives its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (at, place) = self.find(key).ok()?;
        let chunk = self.chunks.get_mut(at)?;
        let (_, value) = chunk.remove(place);
        let left = chunk.len();
        self.len -= 1;
        let next = self.chunks.get(at + 1).map_or(0, Vec::len);
        if left == 0 {
            self.chunks.remove(at);
        } else if next > 0 && left + next <= CHUNK / 2 {
            // Neighbours that are half empty together become one.
            let next = self.chunks.remove(at + 1).unwrap_or_default();
            self.chunks.get_mut(at)?.extend(next);
        }
        Some(value)
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// All entries, by key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (K, &V)> + Clone {
        self.chunks.iter().flatten().map(|(key, value)| (*key, value))
    }

    /// All values, by key, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.chunks.iter_mut().flatten().map(|(_, value)| value)
    }

    /// The entries with keys in a range, by key.
    pub fn range(&self, keys: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (K, &V)> + Clone {
        let from = match keys.start_bound() {
            Bound::Included(key) => self.first_where(|other| other >= key),
            Bound::Excluded(key) => self.first_where(|other| other > key),
            Bound::Unbounded => (0, 0),
        };
        let to = match keys.end_bound() {
            Bound::Included(key) => self.first_where(|other| other > key),
            Bound::Excluded(key) => self.first_where(|other| other >= key),
            Bound::Unbounded => (self.chunks.len(), 0),
        };
        let chunks = self.chunks.iter().enumerate().take(to.0.saturating_add(1)).skip(from.0);
        chunks.flat_map(move |(number, chunk)| {
            let first = if number == from.0 { from.1 } else { 0 };
            let end = if number == to.0 { to.1 } else { chunk.len() };
            chunk.get(first..end).unwrap_or_default().iter().map(|(key, value)| (*key, value))
        })
    }

    /// Where a key is, or where it would be put.
    fn find(&self, key: &K) -> Result<Place, Place> {
        let after = self.chunks.partition_point(|chunk| chunk.first().is_some_and(|(first, _)| first <= key));
        let at = after.saturating_sub(1);
        let chunk = self.chunks.get(at).map(Vec::as_slice).unwrap_or_default();
        match chunk.binary_search_by(|(other, _)| other.cmp(key)) {
            Ok(place) => Ok((at, place)),
            Err(place) => Err((at, place)),
        }
    }

    /// The first entry whose key is as `is` says, which is true of all after it.
    fn first_where(&self, is: impl Fn(&K) -> bool) -> Place {
        let at = self.chunks.partition_point(|chunk| chunk.last().is_some_and(|(last, _)| !is(last)));
        (at, self.chunks.get(at).map_or(0, |chunk| chunk.partition_point(|(key, _)| !is(key))))
    }
}

impl<K: Ord + Copy, V: PartialEq> PartialEq for PackedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord + Copy, V: Eq> Eq for PackedMap<K, V> {}

impl<K: Ord + Copy, V> FromIterator<(K, V)> for PackedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut all = Self::default();
        for (key, value) in entries {
            all.insert(key, value);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Put(u16, u8),
        Append(u8),
        Remove(u16),
        RemoveFirst,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u16..400, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
            any::<u8>().prop_map(Step::Append),
            (0u16..400).prop_map(Step::Remove),
            Just(Step::RemoveFirst),
        ]
    }

    fn check(packed: &PackedMap<u16, u8>, twin: &BTreeMap<u16, u8>, ends: (Bound<u16>, Bound<u16>)) {
        assert_eq!(packed.len(), twin.len());
        assert_eq!(packed.is_empty(), twin.is_empty());
        assert!(packed.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
        assert!(packed.iter().eq(twin.iter().map(|(key, value)| (*key, value))));
        assert!(packed.iter().rev().eq(twin.iter().rev().map(|(key, value)| (*key, value))));
        assert_eq!(packed.first(), twin.first_key_value().map(|(key, value)| (*key, value)));
        assert!(packed.range(ends).eq(twin.range(ends).map(|(key, value)| (*key, value))));
        assert!(packed.range(ends).rev().eq(twin.range(ends).rev().map(|(key, value)| (*key, value))));
    }

    proptest! {
        #[test]
        fn it_is_what_a_b_tree_is(
            steps in prop::collection::vec(step(), 0..600),
            from in 0u16..420, width in 1u16..100, kind in 0usize..4,
        ) {
            let (mut packed, mut twin) = (PackedMap::default(), BTreeMap::new());
            let ends = match kind {
                0 => (Bound::Included(from), Bound::Excluded(from + width)),
                1 => (Bound::Excluded(from), Bound::Included(from + width)),
                2 => (Bound::Unbounded, Bound::Included(from)),
                _ => (Bound::Included(from), Bound::Unbounded),
            };
            for (nth, step) in steps.iter().enumerate() {
                match *step {
                    Step::Put(key, value) => prop_assert_eq!(packed.insert(key, value), twin.insert(key, value)),
                    Step::Append(value) => {
                        let key = twin.last_key_value().map_or(0, |(last, _)| last + 1);
                        prop_assert_eq!(packed.insert(key, value), twin.insert(key, value));
                    }
                    Step::Remove(key) => {
                        prop_assert_eq!(packed.contains_key(&key), twin.contains_key(&key));
                        prop_assert_eq!(packed.get(&key), twin.get(&key));
                        prop_assert_eq!(packed.remove(&key), twin.remove(&key));
                    }
                    Step::RemoveFirst => {
                        let first = twin.pop_first();
                        prop_assert_eq!(packed.first().map(|(key, value)| (key, *value)), first);
                        if let Some((key, value)) = first {
                            prop_assert_eq!(packed.remove(&key), Some(value));
                        }
                    }
                }
                if nth % 50 == 0 {
                    check(&packed, &twin, ends);
                }
            }
            check(&packed, &twin, ends);
            let again: PackedMap<u16, u8> = twin.iter().map(|(key, value)| (*key, *value)).collect();
            prop_assert_eq!(&packed, &again);
            packed.values_mut().for_each(|value| *value = 7);
            prop_assert!(packed.iter().all(|(_, value)| *value == 7));
            packed.clear();
            prop_assert_eq!((packed.len(), packed.first()), (0, None));
        }
    }

    #[test]
    fn keys_in_order_leave_no_holes() {
        let packed: PackedMap<u32, [u8; 24]> = (0..10_000).map(|key| (key, [0; 24])).collect();
        let room: usize = packed.chunks.iter().map(Vec::capacity).sum();
        assert!(room < 10_000 + CHUNK, "room for {room}");
    }
}
