//! Reads one list across all segments: rows in memory and rows on disk, merged
//! in the order of their keys.
//!
//! A segment is opened only when the merge comes to the keys that it spans, and
//! then it is entered by a seek. So a page costs the same wherever it begins,
//! and what lies behind it costs nothing.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Bound;
use std::sync::Arc;

use super::block::{self, Block, RunId};
use super::catalog::{Catalog, LiveSegment};
use super::family::{Listed, Scanned, SortKey, Span};
use super::row::Day;
use super::store::{KeyRange, PartitionStore, StoreError};
use super::summary::{Run, Sealed};

/// Rows that are taken out of memory at once, under its lock. Where several rows
/// may have one key, all are taken: they are as many as a message has endpoints.
const LIVE_ROWS_AT_ONCE: usize = 128;

/// Why a scan cannot go on: the segment, and what was found.
pub(super) struct Broken {
    pub(super) sealed: Arc<Sealed>,
    pub(super) error: BlockError,
}

pub(super) enum BlockError {
    /// A block is damaged or gone.
    Damaged(String),
    Store(StoreError),
}

impl From<StoreError> for BlockError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A merge of the segments that may hold rows of a span.
pub(super) struct Scan<'a, R> {
    store: &'a dyn PartitionStore,
    heap: BinaryHeap<Entry<R>>,
}

/// A segment, and the row that it gives next. Without a row it has not been
/// opened, and `key` is the first that it could have.
struct Entry<R> {
    key: SortKey,
    row: Option<R>,
    cursor: Cursor<R>,
}

impl<'a, R: Scanned> Scan<'a, R> {
    pub(super) fn new(store: &'a dyn PartitionStore, catalog: &Catalog, from: u32, span: Span) -> Self {
        let mut heap = BinaryHeap::new();
        let first = if span.descending { span.high } else { span.low };
        for live in catalog.live.range(from..).map(|(_, live)| live) {
            let source = Source::Live(Arc::clone(live));
            heap.push(Entry { key: first, row: None, cursor: Cursor::new(source, span) });
        }
        for sealed in catalog.sealed.range(from..).map(|(_, sealed)| sealed) {
            for run in sealed.runs_of(R::FAMILY).filter(|run| run.may_hold::<R>(&span.low, &span.high)) {
                let cursor = Cursor::new(Source::run(sealed, run), span);
                heap.push(Entry { key: first_possible(run, &span), row: None, cursor });
            }
        }
        Self { store, heap }
    }

    /// The next row. After [`Broken`] the scan goes on without that segment.
    pub(super) fn next(&mut self) -> Result<Option<R>, Broken> {
        let mut best = loop {
            match self.pop()? {
                Popped::Row(row) => break row,
                Popped::Opened => {}
                Popped::End => return Ok(None),
            }
        };
        while R::UNIQUE && self.heap.peek().is_some_and(|entry| entry.key == best.sort_key()) {
            match self.pop()? {
                Popped::Row(row) if row.position() > best.position() => best = row,
                _ => {}
            }
        }
        Ok(Some(best))
    }

    /// Takes the first entry off and puts the next row of its segment in.
    fn pop(&mut self) -> Result<Popped<R>, Broken> {
        let Some(mut entry) = self.heap.pop() else { return Ok(Popped::End) };
        let popped = entry.row.take().map_or(Popped::Opened, Popped::Row);
        if let Some(row) = entry.cursor.next(self.store)? {
            self.heap.push(Entry { key: row.sort_key(), row: Some(row), cursor: entry.cursor });
        }
        Ok(popped)
    }
}

enum Popped<R> {
    Row(R),
    Opened,
    End,
}

fn first_possible(run: &Run, span: &Span) -> SortKey {
    if span.descending {
        span.high.min(SortKey { owner: span.high.owner, major: run.highest_major, minor: u64::MAX })
    } else {
        span.low.max(SortKey { owner: span.low.owner, major: run.lowest_major, minor: 0 })
    }
}

impl<R> Ord for Entry<R> {
    /// The heap gives the greatest, so ascending scans turn the order round.
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.key.cmp(&other.key);
        if self.cursor.span.descending { order } else { order.reverse() }
    }
}

impl<R> PartialOrd for Entry<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R> PartialEq for Entry<R> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<R> Eq for Entry<R> {}

enum Source {
    Live(LiveSegment),
    Run { sealed: Arc<Sealed>, id: RunId, blocks: u32 },
}

impl Source {
    fn run(sealed: &Arc<Sealed>, run: &Run) -> Self {
        Self::Run { sealed: Arc::clone(sealed), id: run.id, blocks: run.blocks }
    }
}

/// The rows of one segment, a block at a time.
struct Cursor<R> {
    source: Source,
    /// What is still to be read; it shrinks as live rows are taken.
    span: Span,
    /// The rows at hand, in the order asked for.
    rows: std::vec::IntoIter<R>,
    /// The key and number of the block that they are from.
    block: Option<(Vec<u8>, u32)>,
    /// The segment has nothing more in the span.
    ended: bool,
}

impl<R: Scanned> Cursor<R> {
    fn new(source: Source, span: Span) -> Self {
        Self { source, span, rows: Vec::new().into_iter(), block: None, ended: span.low > span.high }
    }

    fn next(&mut self, store: &dyn PartitionStore) -> Result<Option<R>, Broken> {
        loop {
            if let Some(row) = self.rows.next() {
                return Ok(Some(row));
            }
            if self.ended {
                return Ok(None);
            }
            match &self.source {
                Source::Live(live) => {
                    let limit = if R::UNIQUE { LIVE_ROWS_AT_ONCE } else { usize::MAX };
                    let rows = R::live(&live.read(), &self.span, limit);
                    self.take_live(rows, limit);
                }
                Source::Run { sealed, id, blocks } => {
                    let reader = RunReader { store, day: sealed.day, id: *id, blocks: *blocks };
                    let found = match &self.block {
                        None => reader.first::<R>(&self.span),
                        Some((key, number)) => reader.following::<R>(key, *number, self.span.descending),
                    };
                    match found {
                        Ok(found) => self.take_block(found),
                        Err(error) => return Err(Broken { sealed: Arc::clone(sealed), error }),
                    }
                }
            }
        }
    }

    fn take_live(&mut self, rows: Vec<R>, limit: usize) {
        self.ended = rows.len() < limit;
        if let Some(last) = rows.last().map(Listed::sort_key) {
            let beyond = if self.span.descending { last.before() } else { last.after() };
            match beyond {
                Some(key) if self.span.descending => self.span.high = key,
                Some(key) => self.span.low = key,
                None => self.ended = true,
            }
            self.ended |= self.span.low > self.span.high;
        }
        self.rows = rows.into_iter();
    }

    fn take_block(&mut self, found: Option<(Vec<u8>, Block<R>)>) {
        let Some((key, block)) = found else {
            self.ended = true;
            return;
        };
        let (first, last) = (block.rows.first().map(Listed::sort_key), block.rows.last().map(Listed::sort_key));
        self.ended = if self.span.descending { first < Some(self.span.low) } else { last > Some(self.span.high) };
        self.block = Some((key, block.number));
        let mut rows = block.rows;
        rows.retain(|row| (self.span.low..=self.span.high).contains(&row.sort_key()));
        if self.span.descending {
            rows.reverse();
        }
        self.rows = rows.into_iter();
    }
}

/// Finds the blocks of one run, and notices when one is gone.
pub(super) struct RunReader<'a> {
    pub(super) store: &'a dyn PartitionStore,
    pub(super) day: Day,
    pub(super) id: RunId,
    pub(super) blocks: u32,
}

type Found<R> = Option<(Vec<u8>, Block<R>)>;

impl RunReader<'_> {
    /// The first block that may have rows of the span: the last one that begins
    /// at or before its near end, or else the next.
    fn first<R: Listed>(&self, span: &Span) -> Result<Found<R>, BlockError> {
        let near_end = if span.descending { &span.high } else { &span.low };
        let bound = self.id.block_key(near_end, u32::MAX);
        let before: Found<R> = self.read(&self.range(Bound::Unbounded, Bound::Included(&bound), true))?;
        let beyond = self.range(Bound::Excluded(&bound), Bound::Unbounded, false);
        // The blocks on both sides of the place must be neighbours: then none is missing there.
        let expected = before.as_ref().map_or(0, |(_, block)| block.number + 1);
        self.check(self.first_number(&beyond)?, expected)?;
        if span.descending || before.is_some() { Ok(before) } else { self.read(&beyond) }
    }

    /// The block behind or before the one with this key and number.
    fn following<R: Listed>(&self, key: &[u8], number: u32, descending: bool) -> Result<Found<R>, BlockError> {
        if !descending {
            let found: Found<R> = self.read(&self.range(Bound::Excluded(key), Bound::Unbounded, false))?;
            self.check(found.as_ref().map(|(_, block)| block.number), number + 1)?;
            return Ok(found);
        }
        let found: Found<R> = self.read(&self.range(Bound::Unbounded, Bound::Excluded(key), true))?;
        let before = found.as_ref().map(|(_, block)| block.number);
        if before != number.checked_sub(1) {
            return Err(self.damaged("a block is missing"));
        }
        Ok(found)
    }

    /// Every row of the run, in order.
    pub(super) fn all<R: Listed>(&self, each: &mut dyn FnMut(&R)) -> Result<(), BlockError> {
        let mut last: Option<(Vec<u8>, u32)> = None;
        loop {
            let from = last.as_ref().map_or(Bound::Unbounded, |(key, _)| Bound::Excluded(key.as_slice()));
            let found: Found<R> = self.read(&self.range(from, Bound::Unbounded, false))?;
            let expected = last.as_ref().map_or(0, |(_, number)| number + 1);
            self.check(found.as_ref().map(|(_, block)| block.number), expected)?;
            let Some((key, block)) = found else { return Ok(()) };
            block.rows.iter().for_each(&mut *each);
            last = Some((key, block.number));
        }
    }

    /// The rows of an owner in a run that holds few of each owner.
    pub(super) fn of_owner<R: Listed>(&self, span: &Span) -> Result<Vec<R>, BlockError> {
        let mut rows = Vec::new();
        let mut found = self.first::<R>(span)?;
        while let Some((key, block)) = found {
            let ended = block.rows.last().is_some_and(|row| row.sort_key() > span.high);
            rows.extend(block.rows.iter().filter(|row| (span.low..=span.high).contains(&row.sort_key())));
            found = if ended { None } else { self.following(&key, block.number, false)? };
        }
        Ok(rows)
    }

    /// `found` is the block where `expected` should be, if there is one.
    fn check(&self, found: Option<u32>, expected: u32) -> Result<(), BlockError> {
        if found.unwrap_or(self.blocks) == expected { Ok(()) } else { Err(self.damaged("a block is missing")) }
    }

    fn damaged(&self, what: &str) -> BlockError {
        let RunId { family, segment, .. } = self.id;
        BlockError::Damaged(format!("{what} in {family:?} of segment {segment}"))
    }

    fn range(&self, low: Bound<&[u8]>, high: Bound<&[u8]>, descending: bool) -> OwnedRange {
        let prefix = self.id.prefix();
        let mut beyond = prefix.clone();
        beyond.extend([0xff; block::BLOCK_KEY_BYTES]);
        let low = if low == Bound::Unbounded { Bound::Included(prefix) } else { low.map(<[u8]>::to_vec) };
        let high = if high == Bound::Unbounded { Bound::Included(beyond) } else { high.map(<[u8]>::to_vec) };
        OwnedRange { low, high, descending }
    }

    /// The number of the first block of a range, by its key.
    fn first_number(&self, range: &OwnedRange) -> Result<Option<u32>, BlockError> {
        let mut number = None;
        self.store.read(self.day, &range.as_keys(), &mut |key, _| {
            number = key.last_chunk().map(|number| u32::from_be_bytes(*number));
            false
        })?;
        Ok(number)
    }

    /// The first block of a range.
    fn read<R: Listed>(&self, range: &OwnedRange) -> Result<Found<R>, BlockError> {
        let mut found = None;
        self.store.read(self.day, &range.as_keys(), &mut |key, value| {
            found = Some((key.to_vec(), block::unpack::<R>(self.id, value)));
            false
        })?;
        match found {
            None => Ok(None),
            Some((key, Some(block))) => Ok(Some((key, block))),
            Some((_, None)) => Err(self.damaged("a block has a wrong check sum or version")),
        }
    }
}

struct OwnedRange {
    low: Bound<Vec<u8>>,
    high: Bound<Vec<u8>>,
    descending: bool,
}

impl OwnedRange {
    fn as_keys(&self) -> KeyRange<'_> {
        KeyRange {
            low: self.low.as_ref().map(Vec::as_slice),
            high: self.high.as_ref().map(Vec::as_slice),
            descending: self.descending,
        }
    }
}
