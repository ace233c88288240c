//! From the journal again: what is not on disk, how far it is, and what happens
//! to a partition that is of no use.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use postrider_model::time::UnixMs;

use super::catalog::Missing;
use super::family::Family;
use super::partition;
use super::row::{Day, KeyRow};
use super::scan::{BlockError, Broken, RunReader};
use super::store::{KeyRange, StoreError};
use super::summary::Sealed;
use super::{Index, IndexError};

impl Index {
    /// Compares the index with the journal: `all_segments` are the segments that
    /// the journal has, without the open one, each with the day of its first
    /// record. Gives those that have to be read and handed to [`Index::load`],
    /// newest first. What is in memory is taken to be whole: rows of the open
    /// segment that lie before the start have to be inserted like new ones.
    ///
    /// The first call after the start reads what all partitions hold, and
    /// deletes those that belong to no segment. Call it again when
    /// [`Index::progress`] says that something is missing. Reads partitions.
    ///
    /// # Errors
    /// The directory cannot be read, or a partition that is of no use cannot be
    /// moved aside.
    pub fn unindexed(&self, all_segments: &[(u32, Day)], now: UnixMs) -> Result<Vec<u32>, IndexError> {
        let _one_at_a_time = self.writing.lock();
        let wanted: BTreeMap<u32, Day> = all_segments.iter().copied().collect();
        let oldest_key = now - self.key_window;
        if !self.catalog.read().loaded {
            for day in self.store.days()? {
                self.load_partition(day, &wanted, oldest_key)?;
            }
        }
        let mut catalog = self.catalog.write();
        // A segment's keys may be as new as the first record of the next one.
        let next_days = wanted.values().skip(1).copied().map(Some).chain([None]);
        let missing = wanted.keys().zip(next_days).filter(|(segment, _)| !catalog.has(**segment));
        catalog.missing = missing
            .map(|(segment, next)| {
                let holds_keys = next.is_none_or(|next| next >= Day::of(oldest_key));
                (*segment, Missing { holds_keys })
            })
            .collect();
        catalog.loaded = true;
        Ok(catalog.missing.keys().rev().copied().collect())
    }

    /// How much of the index is there, in percent; `None` when all is.
    #[must_use]
    pub fn progress(&self) -> Option<u8> {
        self.catalog.read().progress()
    }

    /// Whether [`Index::find_key`] knows every key of the key window.
    #[must_use]
    pub fn keys_ready(&self) -> bool {
        self.catalog.read().keys_ready()
    }

    /// Gives back the memory of key filters whose time is over.
    pub fn expire_keys(&self, now: UnixMs) {
        self.catalog.write().expire_keys(now - self.key_window);
    }

    /// Forgets a segment that the journal has dropped: its rows are not read any
    /// more, and when it was the last of its day, the partition is deleted.
    ///
    /// # Errors
    /// The partition cannot be deleted; the rows are not read any more.
    pub fn drop_segment(&self, segment: u32) -> Result<(), IndexError> {
        let _one_at_a_time = self.writing.lock();
        let mut catalog = self.catalog.write();
        let day = catalog.sealed.get(&segment).map(|sealed| sealed.day);
        catalog.forget(segment);
        let last = day.filter(|day| catalog.sealed_of(*day).is_empty());
        drop(catalog);
        last.map_or(Ok(()), |day| Ok(self.store.drop_partition(day)?))
    }

    /// Deletes a partition and forgets the segments in it.
    ///
    /// # Errors
    /// The partition cannot be deleted; its rows are not read any more.
    pub fn drop_partition(&self, day: Day) -> Result<(), IndexError> {
        let _one_at_a_time = self.writing.lock();
        let mut catalog = self.catalog.write();
        for segment in catalog.sealed_of(day) {
            catalog.forget(segment);
        }
        drop(catalog);
        Ok(self.store.drop_partition(day)?)
    }

    /// Partitions that were of no use and were moved aside since the start.
    #[must_use]
    pub fn partitions_set_aside(&self) -> u64 {
        self.set_aside.load(Ordering::Relaxed)
    }

    /// Bytes on disk, with what was moved aside. What cannot be looked at counts nothing.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.store.size_bytes()
    }

    /// Bytes of memory that the key filters take.
    #[must_use]
    pub fn key_filter_bytes(&self) -> usize {
        self.catalog.read().keys.size_bytes()
    }

    /// Whether a segment's rows are on disk.
    #[must_use]
    pub fn holds(&self, segment: u32) -> bool {
        self.catalog.read().sealed.contains_key(&segment)
    }

    /// Whether a segment's rows are in memory.
    #[must_use]
    pub fn is_live(&self, segment: u32) -> bool {
        self.catalog.read().live.contains_key(&segment)
    }

    /// Learns what a partition holds. One that is of no use is moved aside.
    fn load_partition(&self, day: Day, wanted: &BTreeMap<u32, Day>, oldest_key: UnixMs) -> Result<(), IndexError> {
        let found = match self.summaries(day) {
            Ok(found) => found,
            Err(BlockError::Damaged(detail) | BlockError::Store(StoreError::Damaged { detail, .. })) => {
                return self.give_up_partition(day, &detail);
            }
            Err(BlockError::Store(error)) => return Err(error.into()),
        };
        let is_new = |sealed: &Sealed| wanted.contains_key(&sealed.segment) && !self.holds(sealed.segment);
        let found: Vec<Sealed> = found.into_iter().filter(is_new).collect();
        let unused = found.is_empty() && self.catalog.read().sealed_of(day).is_empty();
        if unused && !wanted.values().any(|wanted| *wanted == day) {
            return Ok(self.store.drop_partition(day)?);
        }
        for sealed in found {
            let mut keys = Vec::new();
            if sealed.newest_key().is_some_and(|newest| newest >= oldest_key) {
                match self.keys_of(&sealed) {
                    Ok(rows) => keys = rows,
                    Err(BlockError::Damaged(detail) | BlockError::Store(StoreError::Damaged { detail, .. })) => {
                        return self.give_up_partition(day, &detail);
                    }
                    Err(BlockError::Store(error)) => return Err(error.into()),
                }
            }
            let prepared = (!keys.is_empty()).then(|| self.prepare_keys(&sealed, &keys)).flatten();
            self.catalog.write().put_sealed(sealed, prepared);
        }
        Ok(())
    }

    fn summaries(&self, day: Day) -> Result<Vec<Sealed>, BlockError> {
        let (low, high) = (partition::marker_key(0), partition::marker_key(u32::MAX));
        let range = KeyRange { low: Bound::Included(&low), high: Bound::Included(&high), descending: false };
        let mut found = Vec::new();
        self.store.read(day, &range, &mut |key, value| {
            let segment = partition::segment_of_marker(key);
            found.push(segment.and_then(|segment| Sealed::from_bytes(segment, day, value)));
            true
        })?;
        let all: Option<Vec<Sealed>> = found.into_iter().collect();
        all.ok_or_else(|| BlockError::Damaged("the marker of a segment has a wrong check sum or version".into()))
    }

    fn keys_of(&self, sealed: &Sealed) -> Result<Vec<[u8; 16]>, BlockError> {
        let mut keys = Vec::new();
        for run in sealed.runs_of(Family::Keys) {
            let reader = RunReader { store: &*self.store, day: sealed.day, id: run.id, blocks: run.blocks };
            reader.all::<KeyRow>(&mut |row| keys.push(row.hash))?;
        }
        Ok(keys)
    }

    /// Moves a partition aside; its segments have to be read from the journal again.
    pub(super) fn give_up_partition(&self, day: Day, detail: &str) -> Result<(), IndexError> {
        self.catalog.write().lose(day);
        self.store.set_aside(day)?;
        self.set_aside.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(day = day.0, detail, "index partition is of no use: moved aside, to be built anew");
        Ok(())
    }

    /// What to make of a segment that could not be read: `Ok` means that it
    /// was dropped meanwhile and has nothing to give.
    pub(super) fn judge(&self, broken: Broken) -> Result<(), IndexError> {
        let Broken { sealed, error } = broken;
        let detail = match error {
            BlockError::Damaged(detail) | BlockError::Store(StoreError::Damaged { detail, .. }) => detail,
            BlockError::Store(error) => return Err(error.into()),
        };
        {
            // Of those who find the same damage at once, the first moves the partition aside.
            let _one_at_a_time = self.writing.lock();
            if self.is_current(&sealed) {
                self.give_up_partition(sealed.day, &detail)?;
            }
        }
        let catalog = self.catalog.read();
        let known = catalog.sealed.contains_key(&sealed.segment) || catalog.missing.contains_key(&sealed.segment);
        if known { Err(IndexError::Rebuilding { percent: catalog.progress().unwrap_or(99) }) } else { Ok(()) }
    }

    fn is_current(&self, sealed: &Arc<Sealed>) -> bool {
        self.catalog.read().is_current(sealed)
    }
}
