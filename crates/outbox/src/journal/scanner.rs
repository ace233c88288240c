//! Recovery's scan: which frames count, where the torn tail begins, what is
//! damaged.
//!
//! Un-synced frames reach the disk in any order, so a frame that cannot be read
//! tells nothing by itself. Every frame says how far the journal was synced when
//! it was written. The highest such place, of all frames that can be read, is
//! the *evidence*: what cannot be read before it is damage, at or after it a
//! torn tail, which ends the journal.

use std::collections::BTreeMap;
use std::io;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::behind::MISSING_NAMED;
use super::catalogue::{Found, walk};
use super::error::{Damage, DamageKind, OpenError};
use super::frame::FrameHeader;
use super::layout::SEGMENT_HEADER_BYTES;
use super::recover::{Context, failed};
use super::walk::Walk;

/// What the scan found.
pub(super) struct Scanned {
    pub(super) frames: u64,
    pub(super) records: u64,
    pub(super) damage: Vec<Damage>,
    pub(super) last_frame_time: Option<UnixMs>,
    pub(super) synced_through: Position,
    /// Where the frames that count end.
    pub(super) end: Position,
    /// The number of the next frame.
    pub(super) next_frame: u64,
    /// Where the last mark ends: a frame that holds no records, and says that all before it
    /// was synced.
    pub(super) mark_end: Option<Position>,
}

/// A frame is shown with its payload.
pub(super) type VisitFrame<'a> = dyn FnMut(&FrameHeader, &[u8]) + 'a;

pub(super) struct Scanner<'a> {
    context: &'a Context<'a>,
    found: &'a BTreeMap<u32, Found>,
    /// The segment that was read last.
    open: Option<Walk>,
    /// The number that the next frame must have, if the one before it is known.
    expected: Option<u64>,
    /// Numbers may be missing, because frames before were damaged.
    after_damage: bool,
    /// The evidence of all frames after the present one, once it was needed.
    evidence_ahead: Option<Position>,
    scanned: Scanned,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(context: &'a Context<'a>, found: &'a BTreeMap<u32, Found>) -> Self {
        let scanned = Scanned {
            frames: 0,
            records: 0,
            damage: Vec::new(),
            last_frame_time: None,
            synced_through: context.start.scan_from,
            end: context.start.scan_from,
            next_frame: 0,
            mark_end: None,
        };
        Self { context, found, open: None, expected: None, after_damage: false, evidence_ahead: None, scanned }
    }

    /// Reads all frames from the start on.
    pub(super) fn run(mut self, visit: &mut VisitFrame<'_>) -> Result<Scanned, OpenError> {
        self.check_headers()?;
        let Some(mut at) = self.first()? else {
            return Ok(self.scanned);
        };
        loop {
            self.scanned.end = at;
            let Some(found) = self.found.get(&at.segment()) else {
                match self.missing_segment(at)? {
                    Some(next) => at = next,
                    None => break,
                }
                continue;
            };
            let cut = found.is_cut();
            let frame = self.in_segment(at.segment(), |walk| walk.frame(at.offset_bytes()))?;
            if let Some(frame) = frame.filter(|frame| self.follows(frame)) {
                self.take(&frame, visit)?;
                at = Position::new(at.segment(), frame.end_offset());
                continue;
            }
            match self.not_a_frame(at, cut)? {
                Some(next) => at = next,
                None => break,
            }
        }
        self.scanned.next_frame = self.expected.unwrap_or(0);
        Ok(self.scanned)
    }

    /// Whether the frame may come after the last one.
    fn follows(&self, frame: &FrameHeader) -> bool {
        self.expected.is_none_or(|expected| frame.number >= expected)
    }

    fn take(&mut self, frame: &FrameHeader, visit: &mut VisitFrame<'_>) -> Result<(), OpenError> {
        let missing = self.expected.is_some_and(|expected| frame.number > expected);
        if missing && !self.after_damage {
            self.missing_frames_before(frame.position);
        }
        self.in_segment(frame.position.segment(), |walk| {
            visit(frame, walk.payload(frame)?);
            Ok(())
        })?;
        self.after_damage = false;
        self.expected = frame.number.checked_add(1);
        let scanned = &mut self.scanned;
        scanned.frames += 1;
        scanned.records += u64::from(frame.records);
        scanned.synced_through = scanned.synced_through.max(frame.synced_through);
        scanned.last_frame_time = scanned.last_frame_time.max(Some(frame.time));
        if frame.records == 0 && frame.synced_through == frame.position {
            scanned.mark_end = Some(Position::new(frame.position.segment(), frame.end_offset()));
        }
        Ok(())
    }

    /// There is no frame that counts at `at`. Gives where to go on, or `None` if
    /// the journal ends at `self.scanned.end`.
    fn not_a_frame(&mut self, at: Position, cut: bool) -> Result<Option<Position>, OpenError> {
        let (number, offset) = (at.segment(), at.offset_bytes());
        let limit = self.in_segment(number, |walk| Ok(walk.limit()))?;
        let used = self.in_segment(number, |walk| walk.used_end(offset))?;
        let next = self.next_frame_after(at)?;
        let after = Position::new(number.saturating_add(1), SEGMENT_HEADER_BYTES);
        if used.is_none() && cut && offset < limit {
            // The file was cut where its frames ended, and they do not reach that far.
            let end = Position::new(number, limit);
            self.damaged(at, end, DamageKind::MissingFrames);
            self.scanned.end = end;
            return Ok(self.found.range(after.segment()..).next().map(|_| after));
        }
        let goes_on = next.is_some_and(|next| next.segment() > number) || self.is_gap(number);
        if used.is_none() {
            return Ok(goes_on.then_some(after));
        }
        let ahead = self.evidence_ahead(next)?;
        let sealed_to = if cut { Position::new(number, limit) } else { Position::ZERO };
        let evidence = self.scanned.synced_through.max(ahead).max(sealed_to);
        self.scanned.synced_through = evidence;
        if at >= evidence {
            return Ok(None);
        }
        match next {
            Some(next) if next <= evidence => {
                self.damaged(at, next, DamageKind::Frames);
                Ok(Some(next))
            }
            _ => {
                self.damaged(at, evidence, DamageKind::Frames);
                self.scanned.end = evidence;
                Ok(None)
            }
        }
    }

    /// Whether segment files are missing right behind this one.
    fn is_gap(&self, number: u32) -> bool {
        let next = self.found.range(number.saturating_add(1)..).next();
        next.is_some_and(|(next, _)| *next != number.saturating_add(1))
    }

    /// The first frame after `at` that can be read and may follow.
    fn next_frame_after(&mut self, at: Position) -> Result<Option<Position>, OpenError> {
        let least = self.expected.unwrap_or(0);
        let mut from = at.offset_bytes().saturating_add(1);
        for number in self.segments_from(at.segment()) {
            while let Some(frame) = self.in_segment(number, |walk| walk.find(from))? {
                if frame.number >= least {
                    return Ok(Some(frame.position));
                }
                from = frame.position.offset_bytes().saturating_add(1);
            }
            from = SEGMENT_HEADER_BYTES;
        }
        Ok(None)
    }

    /// The highest `synced_through` of all frames from `from` on that can be read.
    fn evidence_ahead(&mut self, from: Option<Position>) -> Result<Position, OpenError> {
        let Some(from) = from else {
            return Ok(Position::ZERO);
        };
        if let Some(known) = self.evidence_ahead {
            return Ok(known);
        }
        let mut highest = Position::ZERO;
        let mut offset = from.offset_bytes();
        for number in self.segments_from(from.segment()) {
            while let Some(frame) = self.in_segment(number, |walk| walk.find(offset))? {
                highest = highest.max(frame.synced_through);
                offset = frame.end_offset();
            }
            offset = SEGMENT_HEADER_BYTES;
        }
        self.evidence_ahead = Some(highest);
        Ok(highest)
    }

    fn segments_from(&self, number: u32) -> Vec<u32> {
        self.found.range(number..).map(|(number, _)| *number).collect()
    }

    /// Where the scan begins; `None` if there are no segments to scan.
    fn first(&mut self) -> Result<Option<Position>, OpenError> {
        let from = self.context.start.scan_from;
        if from == Position::ZERO {
            return Ok(self.found.keys().next().map(|number| Position::new(*number, SEGMENT_HEADER_BYTES)));
        }
        let from = from.max(Position::new(from.segment(), SEGMENT_HEADER_BYTES));
        self.learn_last_frame(from)?;
        Ok(Some(from))
    }

    /// Finds out the number and the time of the last frame before `from`, and
    /// whether `from` is the place of a frame.
    fn learn_last_frame(&mut self, from: Position) -> Result<(), OpenError> {
        let before: Vec<u32> = self.found.range(..=from.segment()).rev().map(|(number, _)| *number).collect();
        for number in before {
            let own = number == from.segment();
            let limit = self.in_segment(number, |walk| Ok(walk.limit()))?;
            let to = if own { from } else { Position::new(number, limit) };
            let (last, reached) = self.walk_to(to)?;
            if own && reached > from.offset_bytes() {
                return Err(OpenError::NotAFrame(from));
            }
            if own && reached < from.offset_bytes() {
                self.damaged(Position::new(number, reached), from, DamageKind::MissingFrames);
            }
            if let Some(last) = last {
                self.expected = last.number.checked_add(1);
                self.scanned.last_frame_time = Some(last.time);
                // Segments between may have been removed, and their numbers with them.
                self.after_damage |= (number..from.segment()).any(|between| !self.found.contains_key(&between));
                break;
            }
        }
        Ok(())
    }

    /// Goes from frame to frame up to `to`. Gives the last one, and where it ends.
    fn walk_to(&mut self, to: Position) -> Result<(Option<FrameHeader>, u32), OpenError> {
        let number = to.segment();
        let mut at = SEGMENT_HEADER_BYTES;
        let mut last = None;
        while at < to.offset_bytes() {
            let next = self.in_segment(number, |walk| walk.find(at))?;
            let Some(frame) = next.filter(|frame| frame.position < to) else {
                break;
            };
            self.damaged(Position::new(number, at), frame.position, DamageKind::Frames);
            at = frame.end_offset();
            last = Some(frame);
        }
        Ok((last, at))
    }

    /// The segment of `at` is not there. Goes on with the next one, if there is one.
    fn missing_segment(&mut self, at: Position) -> Result<Option<Position>, OpenError> {
        let from = self.context.start.scan_from;
        let next = self.found.range(at.segment()..).next().map(|(number, _)| *number);
        let last = match next {
            Some(next) => next.saturating_sub(1),
            // A journal that was empty at the checkpoint has lost nothing.
            None if at.offset_bytes() <= SEGMENT_HEADER_BYTES && at <= from => return Ok(None),
            None => at.segment(),
        };
        if let Some(next) = next
            && self.goes_on_in(next)?
        {
            return Ok(Some(Position::new(next, SEGMENT_HEADER_BYTES)));
        }
        for number in (at.segment()..=last).take(MISSING_NAMED) {
            let from = if number == at.segment() { at.offset_bytes() } else { SEGMENT_HEADER_BYTES };
            self.push_damage(number, from, u32::MAX, DamageKind::MissingSegment);
        }
        self.after_damage = true;
        Ok(next.map(|next| Position::new(next, SEGMENT_HEADER_BYTES)))
    }

    /// Whether a segment begins with the frame that must come next: then numbers of
    /// segments were passed over, as a restore does, and nothing is missing.
    fn goes_on_in(&mut self, number: u32) -> Result<bool, OpenError> {
        let first = self.in_segment(number, |walk| walk.frame(SEGMENT_HEADER_BYTES))?;
        Ok(first.is_some_and(|first| self.expected == Some(first.number)))
    }

    /// Numbers are missing before a frame that is in its place: they were lost at
    /// the end of what comes before.
    fn missing_frames_before(&mut self, position: Position) {
        let number = position.segment();
        if position.offset_bytes() == SEGMENT_HEADER_BYTES {
            let before = self.found.range(..number).next_back();
            let (number, end) = before.map_or((number, SEGMENT_HEADER_BYTES), |(before, found)| {
                (*before, u32::try_from(found.len).unwrap_or(u32::MAX))
            });
            self.push_damage(number, end, end, DamageKind::MissingFrames);
        } else {
            self.push_damage(number, position.offset_bytes(), position.offset_bytes(), DamageKind::MissingFrames);
        }
    }

    /// Segment headers that cannot be read, where the segment is not an empty one
    /// at the end that was never used.
    fn check_headers(&mut self) -> Result<(), OpenError> {
        let bad: Vec<u32> =
            self.found.iter().filter(|(_, found)| found.header.is_none()).map(|(number, _)| *number).collect();
        for number in bad {
            let mut holds_frames = false;
            for later in self.segments_from(number) {
                holds_frames =
                    holds_frames || self.in_segment(later, |walk| walk.find(SEGMENT_HEADER_BYTES))?.is_some();
            }
            if holds_frames {
                self.push_damage(number, 0, SEGMENT_HEADER_BYTES, DamageKind::SegmentHeader);
            }
        }
        Ok(())
    }

    /// Reports everything between two places, segment by segment.
    fn damaged(&mut self, from: Position, to: Position, what: DamageKind) {
        if from >= to {
            return;
        }
        self.after_damage = true;
        for (number, found) in self.found.range(from.segment()..=to.segment()) {
            let limit = u32::try_from(found.len).unwrap_or(u32::MAX);
            let first = if *number == from.segment() { from.offset_bytes() } else { SEGMENT_HEADER_BYTES };
            let last = if *number == to.segment() { to.offset_bytes() } else { limit };
            if first < last {
                let path = self.context.path(*number);
                self.scanned.damage.push(Damage { segment: *number, from: first, to: last, path, what });
            }
        }
    }

    fn push_damage(&mut self, segment: u32, from: u32, to: u32, what: DamageKind) {
        let path = self.context.path(segment);
        self.scanned.damage.push(Damage { segment, from, to, path, what });
    }

    /// Reads in a segment that is there.
    fn in_segment<T>(&mut self, number: u32, read: impl FnOnce(&mut Walk) -> io::Result<T>) -> Result<T, OpenError> {
        let path = self.context.path(number);
        let mut open = match self.open.take().filter(|open| open.segment() == number) {
            Some(open) => open,
            None => {
                let missing = || failed("read journal segment", &path)(io::ErrorKind::NotFound.into());
                walk(self.context, number, self.found.get(&number).ok_or_else(missing)?)?
            }
        };
        let result = read(&mut open).map_err(failed("read journal segment", &path));
        self.open = Some(open);
        result
    }
}
