//! From memory to disk: rows come in one by one and go out segment by segment.

use std::sync::Arc;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::block::{self, RunId};
use super::catalog::LiveSegment;
use super::family::{Family, Listed, OfEndpoint, OfMessage, SettledOfEndpoint};
use super::key_filter::Prepared;
use super::partition;
use super::row::{Day, Row};
use super::store::{SegmentWrite, StoreError};
use super::summary::{Run, Sealed};
use super::{Index, IndexError, SegmentRows};

impl Index {
    /// Adds a row of the open segment; it can be read at once. No I/O.
    pub fn insert(&self, segment: u32, row: impl Into<Row>) {
        self.insert_all(segment, std::iter::once(row.into()));
    }

    /// Adds the rows of a frame; they can be read at once. No I/O, and one lock
    /// for all of them. A row that is added twice counts once.
    pub fn insert_all(&self, segment: u32, rows: impl IntoIterator<Item = Row>) {
        let mut rows = rows.into_iter();
        if !self.catalog.read().insert(segment, &mut rows) {
            let mut catalog = self.catalog.write();
            catalog.live.entry(segment).or_default();
            catalog.insert(segment, &mut rows);
        }
    }

    /// Writes the rows of a segment that gets no more of them into the partition
    /// of `day`, that of the segment's first record, and drops them from memory.
    /// They can be read all the while. Call it only for a segment whose rows
    /// were all inserted; for another one call [`Index::load`]. A segment that is
    /// on disk already is not written again. Reads and writes partitions.
    ///
    /// # Errors
    /// Writing failed; the rows stay in memory, and it can be tried again.
    pub fn seal(&self, segment: u32, day: Day) -> Result<(), IndexError> {
        let _one_at_a_time = self.writing.lock();
        if self.holds(segment) {
            self.catalog.write().live.remove(&segment);
            return Ok(());
        }
        let live: LiveSegment = self.catalog.read().live.get(&segment).map(Arc::clone).unwrap_or_default();
        loop {
            let packed = Packed::new(segment, day, &live.read());
            let rows = packed.rows;
            let (sealed, keys) = self.write_segment(packed)?;
            let mut catalog = self.catalog.write();
            // A row that came meanwhile would be lost: then it is all written again.
            if live.read().len() == rows {
                catalog.put_sealed(sealed, keys);
                return Ok(());
            }
        }
    }

    /// Takes the rows of a segment that were read from the journal again. Reads
    /// and writes partitions.
    ///
    /// # Errors
    /// Writing failed; the segment is still not indexed.
    pub fn load(&self, segment: u32, day: Day, rows: &SegmentRows) -> Result<(), IndexError> {
        let _one_at_a_time = self.writing.lock();
        if !self.holds(segment) {
            let (sealed, keys) = self.write_segment(Packed::new(segment, day, rows))?;
            self.catalog.write().put_sealed(sealed, keys);
        }
        Ok(())
    }

    fn write_segment(&self, packed: Packed) -> Result<(Sealed, Option<Prepared>), IndexError> {
        let Packed { sealed, write, key_hashes, .. } = packed;
        let written = self.store.write(sealed.day, &write);
        if let Err(StoreError::Damaged { detail, .. }) = &written {
            // What else the partition held is rebuilt; this segment goes into a fresh one.
            self.give_up_partition(sealed.day, detail)?;
            self.store.write(sealed.day, &write)?;
        } else {
            written?;
        }
        let keys = self.prepare_keys(&sealed, &key_hashes);
        Ok((sealed, keys))
    }

    /// Fills the filter for the keys of a segment, if it has any.
    pub(super) fn prepare_keys(&self, sealed: &Sealed, hashes: &[[u8; 16]]) -> Option<Prepared> {
        let newest = sealed.newest_key()?;
        let place = self.catalog.read().keys.place(hashes.len(), newest);
        Some(place.fill(hashes.iter()))
    }
}

/// A segment's rows, ready to be written. Nothing of it depends on the order in
/// which they came.
struct Packed {
    sealed: Sealed,
    write: SegmentWrite,
    key_hashes: Vec<[u8; 16]>,
    /// The rows that were packed, in number.
    rows: usize,
}

impl Packed {
    fn new(segment: u32, day: Day, rows: &SegmentRows) -> Self {
        let mut sealed = Sealed { segment, day, runs: Vec::new() };
        let mut blocks = Vec::new();
        pack_family(&mut sealed, &mut blocks, rows.messages(), |_| UnixMs(0));
        pack_family(&mut sealed, &mut blocks, rows.attempts().map(OfMessage), |_| UnixMs(0));
        pack_family(&mut sealed, &mut blocks, rows.attempts().map(OfEndpoint), |_| UnixMs(0));
        pack_family(&mut sealed, &mut blocks, rows.settled(), |_| UnixMs(0));
        pack_family(&mut sealed, &mut blocks, rows.settled().map(SettledOfEndpoint), |_| UnixMs(0));
        pack_family(&mut sealed, &mut blocks, rows.keys(), |row| row.at);
        let ids = Family::ALL.iter().flat_map(|family| {
            let family = *family;
            [false, true].map(|foreign| RunId { family, foreign, segment })
        });
        let marker = (partition::marker_key(segment), sealed.to_bytes());
        let write = SegmentWrite { clear: ids.map(RunId::prefix).collect(), blocks, marker };
        Self { sealed, write, key_hashes: rows.keys().map(|key| key.hash).collect(), rows: rows.len() }
    }
}

fn pack_family<R: Listed>(
    sealed: &mut Sealed,
    blocks: &mut Vec<block::Item>,
    rows: impl Iterator<Item = R>,
    time: impl Fn(&R) -> UnixMs,
) {
    let segment = sealed.segment;
    let is_native = |row: &R| Position::from_u64(row.sort_key().major).segment() == segment;
    let (native, foreign): (Vec<R>, Vec<R>) = rows.partition(is_native);
    for (mut rows, foreign) in [(native, false), (foreign, true)] {
        // Nearly sorted, and many: in place, without a copy of all keys.
        rows.sort_unstable_by_key(|row| (row.sort_key(), row.position()));
        if R::UNIQUE {
            rows.dedup_by(|later, earlier| {
                let same = later.sort_key() == earlier.sort_key();
                if same {
                    *earlier = *later;
                }
                same
            });
        }
        let id = RunId { family: R::FAMILY, foreign, segment };
        let packed = block::pack(id, &rows);
        if let Ok(count @ 1..) = u32::try_from(packed.len()) {
            let newest = rows.iter().map(&time).max().unwrap_or_default();
            sealed.runs.push(Run::new(id, &rows, count, newest));
            blocks.extend(packed);
        }
    }
}
