//! Which segments may hold a key or an event id, answered from memory.
//!
//! Two steps, so that one look-up neither asks each of hundreds of segments nor
//! reads a block of each: a few large filters over runs of segments say whether
//! any may hold the key, and one small filter per segment says which. Together
//! they take two bytes a key: 100 MB at fifty million keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use postrider_model::time::UnixMs;

use super::bloom::{Bloom, Hash};

/// Bits per key over many segments: one look-up in a hundred goes on in vain.
const CHAIN_BITS_PER_KEY: usize = 10;
/// Bits per key of one segment: one segment in twenty is read in vain.
const SEGMENT_BITS_PER_KEY: usize = 6;
/// Keys that a filter over many segments is made for: at first, and at most.
/// Each is made for twice as many as the one before.
const CHAIN_KEYS_MIN: usize = 1 << 14;
const CHAIN_KEYS_MAX: usize = 1 << 23;

#[derive(Default)]
pub(super) struct KeyFilters {
    /// Oldest first.
    chain: Vec<Arc<Link>>,
    segments: BTreeMap<u32, SegmentFilter>,
}

/// A filter over a run of segments.
struct Link {
    bloom: Bloom,
    keys_max: usize,
    keys: AtomicUsize,
    number: usize,
}

struct SegmentFilter {
    bloom: Bloom,
    newest: UnixMs,
    /// The number of the link that holds its keys too.
    link: usize,
}

/// A segment's keys, ready to be added.
pub(super) struct Prepared {
    filter: SegmentFilter,
    link: Arc<Link>,
}

impl KeyFilters {
    /// Finds the link that will hold `count` more keys. This and the two steps
    /// after it are done by one thread at a time.
    fn link_for(&self, count: usize) -> Arc<Link> {
        match self.chain.last() {
            Some(last) if last.keys.load(Ordering::Relaxed) + count <= last.keys_max => Arc::clone(last),
            last => {
                let wanted = last.map_or(CHAIN_KEYS_MIN, |last| last.keys_max.saturating_mul(2).min(CHAIN_KEYS_MAX));
                let keys_max = wanted.max(count);
                Arc::new(Link {
                    bloom: Bloom::new(keys_max, CHAIN_BITS_PER_KEY, usize::MAX),
                    keys_max,
                    keys: AtomicUsize::new(0),
                    number: last.map_or(0, |last| last.number + 1),
                })
            }
        }
    }

    /// Where the keys of a segment will go. Setting the bits takes its time and
    /// needs no lock: see [`Place::fill`].
    pub(super) fn place(&self, count: usize, newest: UnixMs) -> Place {
        Place { link: self.link_for(count), count, newest }
    }

    pub(super) fn add(&mut self, segment: u32, prepared: Prepared) {
        if self.chain.last().is_none_or(|last| last.number < prepared.link.number) {
            self.chain.push(prepared.link);
        }
        self.segments.insert(segment, prepared.filter);
    }

    pub(super) fn remove(&mut self, segment: u32) {
        self.segments.remove(&segment);
        self.drop_unused_links();
    }

    /// Forgets segments whose newest key is older than `oldest`.
    pub(super) fn expire(&mut self, oldest: UnixMs) {
        self.segments.retain(|_, segment| segment.newest >= oldest);
        self.drop_unused_links();
    }

    fn drop_unused_links(&mut self) {
        let segments = &self.segments;
        self.chain.retain(|link| segments.values().any(|segment| segment.link == link.number));
    }

    pub(super) fn covers(&self, segment: u32) -> bool {
        self.segments.contains_key(&segment)
    }

    /// The segments that may hold a key, newest first.
    pub(super) fn candidates(&self, hash: &[u8; 16]) -> Vec<u32> {
        let hash = Hash::of_hash(hash);
        let links: Vec<usize> =
            self.chain.iter().filter(|link| link.bloom.contains(hash)).map(|link| link.number).collect();
        if links.is_empty() {
            return Vec::new();
        }
        let holds = |filter: &SegmentFilter| links.contains(&filter.link) && filter.bloom.contains(hash);
        self.segments.iter().rev().filter(|(_, filter)| holds(filter)).map(|(segment, _)| *segment).collect()
    }

    pub(super) fn size_bytes(&self) -> usize {
        let links = self.chain.iter().map(|link| link.bloom.size_bytes());
        links.chain(self.segments.values().map(|segment| segment.bloom.size_bytes())).sum()
    }
}

/// Room for the keys of one segment.
pub(super) struct Place {
    link: Arc<Link>,
    count: usize,
    newest: UnixMs,
}

impl Place {
    pub(super) fn fill<'a>(self, hashes: impl Iterator<Item = &'a [u8; 16]>) -> Prepared {
        let bloom = Bloom::new(self.count, SEGMENT_BITS_PER_KEY, usize::MAX);
        for hash in hashes.map(Hash::of_hash) {
            bloom.insert(hash);
            self.link.bloom.insert(hash);
        }
        self.link.keys.fetch_add(self.count, Ordering::Relaxed);
        let filter = SegmentFilter { bloom, newest: self.newest, link: self.link.number };
        Prepared { filter, link: self.link }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> [u8; 16] {
        let n = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        (n ^ (n >> 61)).wrapping_mul(0xbf58_476d_1ce4_e5b9_94d0_49bb_1331_11eb).to_be_bytes()
    }

    const PER_SEGMENT: u64 = 3_000;

    fn filled(segments: u32) -> KeyFilters {
        let mut filters = KeyFilters::default();
        for segment in 0..segments {
            let hashes: Vec<_> = (0..PER_SEGMENT).map(|n| hash(u64::from(segment) * PER_SEGMENT + n)).collect();
            let prepared = filters.place(hashes.len(), UnixMs(u64::from(segment))).fill(hashes.iter());
            filters.add(segment, prepared);
        }
        filters
    }

    #[test]
    fn every_key_leads_to_its_segment_and_few_to_others() {
        let filters = filled(40);
        for n in 0..40 * PER_SEGMENT {
            assert!(filters.candidates(&hash(n)).contains(&((n / PER_SEGMENT) as u32)), "key {n}");
        }
        let wrong: usize = (1_000_000..1_010_000).map(|n| filters.candidates(&hash(n)).len()).sum();
        assert!(wrong < 2_000, "{wrong} segments named for 10,000 keys that are not there");
        assert!(filters.size_bytes() < 40 * PER_SEGMENT as usize * 4, "{} bytes", filters.size_bytes());
    }

    #[test]
    fn a_filter_over_segments_takes_as_many_keys_as_it_is_made_for() {
        let mut filters = KeyFilters::default();
        let counts = [CHAIN_KEYS_MIN - 1, 1, 1, 2 * CHAIN_KEYS_MIN - 1, 1, 4 * CHAIN_KEYS_MIN, 1];
        for (segment, count) in (0..).zip(counts) {
            let prepared = filters.place(count, UnixMs(0)).fill(std::iter::empty());
            filters.add(segment, prepared);
        }
        let links: Vec<_> =
            filters.chain.iter().map(|link| (link.number, link.keys.load(Ordering::Relaxed), link.keys_max)).collect();
        let most = [1, 2, 4, 8].map(|times| times * CHAIN_KEYS_MIN);
        assert_eq!(links, [(0, most[0], most[0]), (1, most[1], most[1]), (2, 1, most[2]), (3, most[2] + 1, most[3])]);
        let of_segments: Vec<_> = filters.segments.values().map(|segment| segment.link).collect();
        assert_eq!(of_segments, [0, 0, 1, 1, 2, 3, 3]);
        // A link goes with the last of its segments.
        filters.remove(0);
        assert_eq!(filters.chain.len(), 4);
        filters.remove(1);
        assert_eq!(filters.chain.first().map(|link| link.number), Some(1));
        (2..7).for_each(|segment| filters.remove(segment));
        assert_eq!((filters.chain.len(), filters.size_bytes()), (0, 0));
    }

    #[test]
    fn a_segment_with_more_keys_than_a_filter_is_made_for_gets_one_of_its_size() {
        let count = CHAIN_KEYS_MIN * 3;
        let place = KeyFilters::default().place(count, UnixMs(0));
        assert_eq!(place.link.keys_max, count);
        assert!(place.link.bloom.size_bytes() >= count * CHAIN_BITS_PER_KEY / 8);
    }

    #[test]
    fn the_newest_segment_of_a_key_is_asked_first_and_few_others_are() {
        let mut filters = filled(4);
        assert_eq!(filters.chain.len(), 1);
        let named: usize = (0..PER_SEGMENT).map(|n| filters.candidates(&hash(n)).len()).sum();
        assert!(named < PER_SEGMENT as usize * 3 / 2, "{named} segments for {PER_SEGMENT} keys");
        for segment in [7, 5] {
            let prepared = filters.place(1, UnixMs(9)).fill(std::iter::once(&hash(0)));
            filters.add(segment, prepared);
        }
        let candidates = filters.candidates(&hash(0));
        assert_eq!((candidates.first_chunk(), candidates.last()), (Some(&[7, 5]), Some(&0)));
    }

    #[test]
    fn filters_of_old_segments_go() {
        let mut filters = filled(40);
        filters.expire(UnixMs(30));
        assert!(!filters.covers(29) && filters.covers(30));
        assert!(filters.candidates(&hash(0)).is_empty());
        filters.expire(UnixMs(1_000));
        assert_eq!(filters.size_bytes(), 0);
    }
}
