//! Where the rows of each segment are: in memory, on disk, or not yet anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use postrider_model::time::UnixMs;

use super::key_filter::{KeyFilters, Prepared};
use super::live::SegmentRows;
use super::row::{Day, KeyRow, Row};
use super::summary::Sealed;

/// The rows of a segment in memory. A query that began before the segment was
/// sealed keeps reading them here.
pub(super) type LiveSegment = Arc<RwLock<SegmentRows>>;

#[derive(Default)]
pub(super) struct Catalog {
    pub(super) live: BTreeMap<u32, LiveSegment>,
    pub(super) sealed: BTreeMap<u32, Arc<Sealed>>,
    pub(super) missing: BTreeMap<u32, Missing>,
    /// The partitions on disk have been looked at.
    pub(super) loaded: bool,
    pub(super) keys: KeyFilters,
}

/// A segment of the journal whose rows are nowhere.
#[derive(Clone, Copy)]
pub(super) struct Missing {
    /// It may hold keys that are still valid.
    pub(super) holds_keys: bool,
}

impl Catalog {
    /// How much of the index is there, in percent, if it is not all.
    pub(super) fn progress(&self) -> Option<u8> {
        if !self.loaded {
            return Some(0);
        }
        let all = self.sealed.len() + self.missing.len();
        (!self.missing.is_empty()).then(|| (self.sealed.len() * 100 / all.max(1)).min(99) as u8)
    }

    pub(super) fn keys_ready(&self) -> bool {
        self.loaded && !self.missing.values().any(|missing| missing.holds_keys)
    }

    /// Adds rows to a segment that is in memory; gives back whether there is one.
    pub(super) fn insert(&self, segment: u32, rows: &mut dyn Iterator<Item = Row>) -> bool {
        let Some(live) = self.live.get(&segment) else { return false };
        live.write().extend(rows);
        true
    }

    /// The row of a key in the newest segment in memory that has one, with its segment.
    pub(super) fn newest_live_key(&self, hash: &[u8; 16]) -> Option<(u32, KeyRow)> {
        self.live.iter().rev().find_map(|(segment, live)| Some((*segment, live.read().key(hash)?)))
    }

    /// From now on the segment is read from disk.
    pub(super) fn put_sealed(&mut self, sealed: Sealed, keys: Option<Prepared>) {
        if let Some(keys) = keys {
            self.keys.add(sealed.segment, keys);
        }
        self.live.remove(&sealed.segment);
        self.missing.remove(&sealed.segment);
        self.sealed.insert(sealed.segment, Arc::new(sealed));
    }

    /// The segments of a partition that is no more have to be read from the
    /// journal again.
    pub(super) fn lose(&mut self, day: Day) {
        let lost: Vec<u32> = self.sealed_of(day);
        for segment in lost {
            self.missing.insert(segment, Missing { holds_keys: self.keys.covers(segment) });
            self.sealed.remove(&segment);
            self.keys.remove(segment);
        }
    }

    pub(super) fn forget(&mut self, segment: u32) {
        self.live.remove(&segment);
        self.sealed.remove(&segment);
        self.missing.remove(&segment);
        self.keys.remove(segment);
    }

    pub(super) fn sealed_of(&self, day: Day) -> Vec<u32> {
        self.sealed.values().filter(|sealed| sealed.day == day).map(|sealed| sealed.segment).collect()
    }

    pub(super) fn has(&self, segment: u32) -> bool {
        self.sealed.contains_key(&segment) || self.live.contains_key(&segment)
    }

    /// Whether this is still what is known of the segment.
    pub(super) fn is_current(&self, sealed: &Arc<Sealed>) -> bool {
        self.sealed.get(&sealed.segment).is_some_and(|current| Arc::ptr_eq(current, sealed))
    }

    pub(super) fn expire_keys(&mut self, oldest: UnixMs) {
        self.keys.expire(oldest);
    }
}
