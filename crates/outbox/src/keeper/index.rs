//! Brings the rows of sealed segments from memory, or from the journal, into
//! the index.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use postrider_model::position::Position;

use super::Keeper;
use crate::index::{Day, SegmentRows};
use crate::journal::SegmentInfo;
use crate::lookup::scan;
use crate::rows::Rows;

/// Which segments are dealt with.
pub(super) struct Indexing {
    /// The rows of this segment and of all later ones came into memory as they happened.
    first_live: u32,
    /// Of those, the ones that are sealed in the index.
    sealed: BTreeSet<u32>,
    /// The index was compared with the journal.
    compared: bool,
}

impl Indexing {
    pub(super) const fn new(first_live: u32) -> Self {
        Self { first_live, sealed: BTreeSet::new(), compared: false }
    }

    fn waits_for_seal(&self, segment: u32) -> bool {
        segment >= self.first_live && !self.sealed.contains(&segment)
    }
}

/// The partition that a segment's rows belong to.
fn day(segment: &SegmentInfo) -> Day {
    Day::of(segment.first_frame_time.unwrap_or_default())
}

impl Keeper {
    /// Seals what is sealed in the journal, and reads again what the index lacks.
    pub(super) fn index_some(&mut self) {
        let mut segments = self.shared.reader.segments();
        segments.retain(|segment| segment.sealed);
        for segment in &segments {
            if !self.indexing.waits_for_seal(segment.number) {
                continue;
            }
            if let Err(error) = self.shared.index.seal(segment.number, day(segment)) {
                tracing::warn!(segment = segment.number, %error, "rows could not be written to the index; they stay in memory");
                break;
            }
            self.indexing.sealed.insert(segment.number);
        }
        self.shared.index.expire_keys(self.shared.now());
        if !self.indexing.compared || self.shared.index.progress().is_some() {
            segments.retain(|segment| !self.indexing.waits_for_seal(segment.number));
            self.rebuild(&segments);
        }
    }

    /// Reads the segments that the index lacks from the journal, newest first.
    fn rebuild(&mut self, segments: &[SegmentInfo]) {
        let known: Vec<_> = segments.iter().map(|segment| (segment.number, day(segment))).collect();
        let missing = match self.shared.index.unindexed(&known, self.shared.now()) {
            Ok(missing) => missing,
            Err(error) => return tracing::warn!(%error, "the index cannot be compared with the journal"),
        };
        self.indexing.compared = true;
        if !missing.is_empty() {
            tracing::info!(segments = missing.len(), "the index is being built from the journal");
        }
        for number in missing {
            let Some(segment) = segments.iter().find(|segment| segment.number == number) else { continue };
            if self.shared.is_stopping() {
                return;
            }
            // It is still missing then, so the next round reads it again.
            let Some(rows) = self.read_rows(segment) else { return };
            if let Err(error) = self.shared.index.load(number, day(segment), &rows) {
                return tracing::warn!(segment = number, %error, "rows could not be written to the index");
            }
        }
    }

    /// `None` if it cannot be read at present: what it holds must not be taken for nothing.
    fn read_rows(&self, segment: &SegmentInfo) -> Option<SegmentRows> {
        let (from, to) = (Position::new(segment.number, 0), Position::new(segment.number + 1, 0));
        let (mut rows, mut found) = (Rows::default(), SegmentRows::default());
        let (_, unreadable) = scan(&self.shared.reader, from, to, &mut |position, record| {
            rows.each(position, &record, &mut |row| found.push(row));
            ControlFlow::Continue(())
        });
        for part in unreadable {
            if part.failed.is_some_and(|error| error.may_pass()) {
                tracing::warn!(segment = segment.number, detail = part.detail, "a segment cannot be read at present");
                return None;
            }
            tracing::error!(detail = part.detail, "a part of the journal is damaged; what it held cannot be listed");
        }
        Some(found)
    }
}
