//! Reading the journal, from any thread.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::error::{Damage, ReadError};
use super::frame::{ENVELOPE_BYTES, Envelope, FrameHeader, FrameKind, Records};
use super::layout::{ALIGNMENT_BYTES, SEGMENT_HEADER_BYTES};
use super::salvage::{self, Seen};
use super::shared::{MARK_BYTES, SegmentState, Shared};
use super::walk::Walk;

/// What a look-up reads at once; a record that fits costs one `pread`.
const SPECULATIVE_BYTES: usize = 4096;

/// A record as a scan shows it.
#[derive(Clone, Copy, Debug)]
pub struct RecordAt<'a> {
    /// Its address.
    pub position: Position,
    /// What follows it: a record, or a frame. A scan can go on from here.
    pub end: Position,
    /// The time of its frame.
    pub frame_time: UnixMs,
    /// The kind of its frame.
    pub kind: FrameKind,
    /// The record.
    pub bytes: &'a [u8],
}

/// What is known of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u32,
    /// Where its frames end.
    pub bytes_used: u64,
    /// What it takes on disk.
    pub bytes_allocated: u64,
    /// The time of its first frame, if it has one that can be read.
    pub first_frame_time: Option<UnixMs>,
    /// Nothing is appended to it any more.
    pub sealed: bool,
    /// A part of it is quarantined.
    pub damaged: bool,
}

/// Reads records. Clones are cheap and share open files.
#[derive(Clone)]
pub struct JournalReader {
    pub(super) shared: Arc<Shared>,
}

impl JournalReader {
    /// Reads one record: one `pread` if it has less than 4 KiB, else two, and one
    /// allocation of the record's size.
    ///
    /// # Errors
    /// There is no record, it is damaged, or reading fails.
    pub fn read(&self, position: Position) -> Result<Bytes, ReadError> {
        let offset = position.offset_bytes();
        let used = {
            let segments = self.shared.segments.read();
            segments.get(&position.segment()).ok_or(ReadError::NotFound(position))?.used
        };
        // A record has a checksum of its own: one that is whole can be trusted in
        // the middle of a damaged frame.
        let resume = self.quarantined_end(position.segment(), offset).unwrap_or(used);
        let aligned = (offset as usize).is_multiple_of(ALIGNMENT_BYTES);
        if !aligned || !(SEGMENT_HEADER_BYTES..used).contains(&offset) {
            return Err(ReadError::NotFound(position));
        }
        let file = self.shared.file(position.segment()).map_err(|source| self.io(position.segment(), source))?;
        let mut start = [0; SPECULATIVE_BYTES];
        let there = SPECULATIVE_BYTES.min((used - offset) as usize);
        let start = start.get_mut(..there).unwrap_or_default();
        let read = file.read_at(start, offset.into()).map_err(|source| self.io(position.segment(), source))?;
        let start = start.get(..read).unwrap_or_default();
        let envelope = Envelope::decode(start).ok_or_else(|| self.damaged(position, resume))?;
        let end = (offset as usize).saturating_add(ENVELOPE_BYTES).saturating_add(envelope.len);
        if end > used as usize {
            return Err(self.damaged(position, resume));
        }
        let mut record = vec![0; envelope.len];
        let first = start.get(ENVELOPE_BYTES..).unwrap_or_default();
        let (head, tail) = record.split_at_mut(envelope.len.min(first.len()));
        head.copy_from_slice(first.get(..head.len()).unwrap_or_default());
        if !tail.is_empty() {
            let at = u64::from(offset) + read as u64;
            file.read_at(tail, at).map_err(|source| self.io(position.segment(), source))?;
        }
        if !envelope.is_of(&record) {
            return Err(self.damaged(position, resume));
        }
        Ok(record.into())
    }

    /// Visits the records from `from` on and before `to`, in order, with large
    /// reads. Both may be addresses of records or of frames, or lie beyond the
    /// end; [`Position::ZERO`] is the first that there is. Segments that were
    /// removed are passed over. Gives where to go on: after the record at which
    /// the visitor stopped, or where the range or the journal ended.
    ///
    /// # Errors
    /// A part is damaged or quarantined ([`ReadError::Damaged`] tells where to go
    /// on), or reading fails. The records before it have been visited.
    pub fn scan(
        &self,
        from: Position,
        to: Position,
        visit: &mut dyn FnMut(RecordAt<'_>) -> ControlFlow<()>,
    ) -> Result<Position, ReadError> {
        let mut at = from;
        while let Some((number, used)) = self.shared.next_segment(at.segment()) {
            at = at.max(Position::new(number, SEGMENT_HEADER_BYTES));
            if at >= to {
                break;
            }
            let end = Position::new(number, used).min(to);
            if at < end {
                if let ControlFlow::Break(stopped) = self.scan_segment(at, end, visit)? {
                    return Ok(stopped);
                }
                at = end;
            }
            match self.shared.next_segment(number.saturating_add(1)) {
                Some((next, _)) if next > number => at = Position::new(next, SEGMENT_HEADER_BYTES).min(to.max(at)),
                _ => break,
            }
        }
        Ok(at)
    }

    /// Visits the records of one segment between two positions.
    fn scan_segment(
        &self,
        from: Position,
        to: Position,
        visit: &mut dyn FnMut(RecordAt<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<Position>, ReadError> {
        let number = from.segment();
        let failed = |source| self.io(number, source);
        let file = self.shared.file(number).map_err(failed)?;
        let (mut at, used) = {
            let segments = self.shared.segments.read();
            let segment = segments.get(&number).ok_or(ReadError::NotFound(from))?;
            (segment.frame_before(from.offset_bytes()), segment.used)
        };
        let mut walk = Walk::new(file, number, self.shared.store_id, used.into());
        let mut marked = at;
        while at < to.offset_bytes() {
            if at - marked >= MARK_BYTES {
                self.shared.update(number, |segment| segment.mark(at));
                marked = at;
            }
            let header = walk.header(at).map_err(failed)?;
            if let Some(passed) = header.filter(|header| header.end_offset() <= from.offset_bytes()) {
                at = passed.end_offset();
                continue;
            }
            let quarantined = self.quarantined_end(number, at);
            let frame = if quarantined.is_some() { None } else { walk.frame(at).map_err(failed)? };
            if let Some(frame) = frame {
                let payload = walk.payload(&frame).map_err(failed)?;
                if let ControlFlow::Break(stopped) = visit_records(&frame, payload, from, to, visit) {
                    return Ok(ControlFlow::Break(stopped));
                }
                at = frame.end_offset();
                continue;
            }
            let resume = match quarantined {
                Some(end) => end,
                None if walk.used_end(at).map_err(failed)?.is_none() => break,
                None => walk.find(at + 1).map_err(failed)?.map_or(used, |frame| frame.position.offset_bytes()),
            };
            if resume > from.offset_bytes() {
                return Err(self.damaged(Position::new(number, at), resume));
            }
            at = resume;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn quarantined_end(&self, segment: u32, offset: u32) -> Option<u32> {
        let segments = self.shared.segments.read();
        Some(segments.get(&segment)?.quarantined(offset)?.end)
    }

    /// The segments that there are, oldest first; spare ones too.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let segments = self.shared.segments.read();
        segments
            .iter()
            .map(|(number, segment)| SegmentInfo {
                number: *number,
                bytes_used: segment.used.into(),
                bytes_allocated: segment.allocated_bytes,
                first_frame_time: segment.first_frame_time,
                sealed: segment.state == SegmentState::Sealed,
                damaged: !segment.quarantine.is_empty(),
            })
            .collect()
    }

    /// Where the journal ends: after the last record that was appended.
    #[must_use]
    pub fn end(&self) -> Position {
        let segments = self.shared.segments.read();
        let last = segments.iter().rfind(|(_, segment)| segment.state != SegmentState::Spare);
        last.map_or(Position::ZERO, |(number, segment)| Position::new(*number, segment.used))
    }

    /// What the segments take on disk, spare ones included.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.shared.segments.read().values().map(|segment| segment.allocated_bytes).sum()
    }

    /// Bytes appended since the journal was opened. Never goes down.
    #[must_use]
    pub fn appended_bytes(&self) -> u64 {
        self.shared.appended_bytes.load(Ordering::Relaxed)
    }

    /// Whether the last [`super::Journal::provision`] found no room. Removing a
    /// segment takes it back, until the next one finds none again.
    #[must_use]
    pub fn wants_room(&self) -> bool {
        self.shared.wants_room.load(Ordering::Relaxed)
    }

    /// Reads a whole segment and tells what is damaged. Blocks for as long as the
    /// disk takes for the size of a segment.
    ///
    /// # Errors
    /// There is no such segment, or reading fails.
    pub fn scrub(&self, segment: u32) -> Result<Vec<Damage>, ReadError> {
        self.salvage(segment, &mut |_| {})
    }

    /// Visits all records of a segment that can be read, in spite of damage, and
    /// tells what is damaged. Records of a damaged frame are visited too if they
    /// are whole.
    ///
    /// # Errors
    /// There is no such segment, or reading fails.
    pub fn salvage(&self, segment: u32, visit: &mut dyn FnMut(RecordAt<'_>)) -> Result<Vec<Damage>, ReadError> {
        self.survey(segment, &mut salvage::whole_records(visit))
    }

    /// The same, with all that is met: frames, damage, and what was a record.
    ///
    /// # Errors
    /// There is no such segment, or reading fails.
    pub fn survey(&self, segment: u32, visit: &mut dyn FnMut(Seen<'_>)) -> Result<Vec<Damage>, ReadError> {
        let nothing = ReadError::NotFound(Position::new(segment, 0));
        let used = self.shared.segments.read().get(&segment).map(|segment| segment.used).ok_or(nothing)?;
        let file = self.shared.file(segment).map_err(|source| self.io(segment, source))?;
        let source = salvage::Source { segment, path: self.shared.path(segment), store_id: self.shared.store_id };
        salvage::read_segment(&source, file, used.into(), visit).map_err(|error| self.io(segment, error))
    }

    fn damaged(&self, position: Position, resume: u32) -> ReadError {
        let resume = Position::new(position.segment(), resume);
        ReadError::Damaged { path: self.shared.path(position.segment()), position, resume }
    }

    /// A segment that was removed meanwhile is not there; all else is a failure.
    pub(super) fn io(&self, segment: u32, source: io::Error) -> ReadError {
        if source.kind() == io::ErrorKind::NotFound {
            return ReadError::NotFound(Position::new(segment, 0));
        }
        ReadError::Io { path: self.shared.path(segment), source }
    }
}

/// Shows the records of a frame that lie in the range; `Break` with the place
/// after the record at which the visitor stopped.
pub(super) fn visit_records(
    frame: &FrameHeader,
    payload: &[u8],
    from: Position,
    to: Position,
    visit: &mut dyn FnMut(RecordAt<'_>) -> ControlFlow<()>,
) -> ControlFlow<Position> {
    let number = frame.position.segment();
    let mut records = Records::new(payload, frame.payload_offset());
    while let Some((offset, bytes)) = records.next() {
        let position = Position::new(number, offset);
        if position < from {
            continue;
        }
        if position >= to {
            break;
        }
        let end = Position::new(number, records.offset());
        let record = RecordAt { position, end, frame_time: frame.time, kind: frame.kind, bytes };
        if visit(record).is_break() {
            return ControlFlow::Break(end);
        }
    }
    ControlFlow::Continue(())
}
