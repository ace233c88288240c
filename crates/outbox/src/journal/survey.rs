//! What one segment file holds, told without opening the journal: for copies of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::error::{Damage, DamageKind};
use super::frame::{FRAME_HEADER_BYTES, FrameBuilder, FrameFull, FrameHeader, FrameKind, Records, record_bytes};
use super::layout::{ALIGNMENT_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name};
use super::reader::RecordAt;
use super::salvage::for_each;
use super::walk::Walk;
use crate::disk::DiskFile;

/// A frame that is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameInfo {
    /// Where it begins.
    pub position: Position,
    /// Where it ends.
    pub end: Position,
    /// Its number, through all segments.
    pub number: u64,
    /// Its time.
    pub time: UnixMs,
    /// Its records, in number.
    pub records: u32,
}

impl From<&FrameHeader> for FrameInfo {
    fn from(header: &FrameHeader) -> Self {
        let FrameHeader { position, number, time, records, .. } = *header;
        Self { position, end: Position::new(position.segment(), header.end_offset()), number, time, records }
    }
}

/// What a segment file holds.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The first frame that can be read.
    pub first: Option<FrameInfo>,
    /// The last one.
    pub last: Option<FrameInfo>,
    /// Frames that can be read, in number.
    pub frames: u64,
    /// The records in them.
    pub records: u64,
    /// Where what counts ends.
    pub end: u32,
    /// What cannot be read before that.
    pub damage: Vec<Damage>,
}

/// Which segment file is looked at.
pub struct Subject<'a> {
    /// The file.
    pub file: &'a Arc<dyn DiskFile>,
    /// Its path, for what is said of it.
    pub path: &'a Path,
    /// The segment's number.
    pub number: u32,
    /// The store's id.
    pub store_id: u64,
    /// It may be written to at present, or end in a torn tail: no later one holds frames.
    pub is_last: bool,
}

impl Subject<'_> {
    fn walk(&self) -> io::Result<Walk> {
        Ok(Walk::new(Arc::clone(self.file), self.number, self.store_id, self.file.len()?))
    }

    /// Whether there is a frame in it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn holds_frames(&self) -> io::Result<bool> {
        Ok(self.walk()?.find(SEGMENT_HEADER_BYTES)?.is_some())
    }

    /// Reads it whole. `visit` is shown each frame that counts, with its records.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn survey(
        &self,
        visit: &mut dyn FnMut(&FrameInfo, &mut dyn Iterator<Item = RecordAt<'_>>),
    ) -> io::Result<Survey> {
        let mut walk = self.walk()?;
        let mut survey = Survey { end: SEGMENT_HEADER_BYTES, ..Survey::default() };
        let header = SegmentHeader::decode(walk.bytes(0, SEGMENT_HEADER_BYTES as usize)?);
        let header = header.ok().filter(|header| (header.number, header.store_id) == (self.number, self.store_id));
        if header.is_none() {
            self.damaged(&mut survey, 0, SEGMENT_HEADER_BYTES, DamageKind::SegmentHeader);
        }
        // A file that was cut says by its length how far it was synced.
        let cut_at = header.filter(|header| walk.limit() < header.allocated_bytes).map_or(0, |_| walk.limit());
        let mut evidence = Evidence { synced: cut_at, ahead: None };
        let mut at = SEGMENT_HEADER_BYTES;
        while at < walk.limit() {
            if let Some(frame) = walk.frame(at)? {
                self.take(&mut survey, &mut walk, &frame, visit)?;
                evidence.synced = evidence.synced.max(synced_in(&frame));
                at = frame.end_offset();
                continue;
            }
            let next = walk.find(at + 1)?;
            // Somebody may have been writing it while it was read: what is followed by a
            // frame is whole by now, if it ever was.
            let mut anew = self.walk()?;
            if next.is_some() && anew.frame(at)?.is_some() {
                walk = anew;
                continue;
            }
            let Some(end) = next.map(|frame| frame.position.offset_bytes()).or(walk.used_end(at)?) else { break };
            if self.is_last && at >= evidence.at(&mut walk, next)? {
                break;
            }
            self.damaged(&mut survey, at, end, DamageKind::Frames);
            at = next.map_or_else(|| end.next_multiple_of(ALIGNMENT_BYTES as u32).min(walk.limit()), |_| end);
            survey.end = at;
        }
        Ok(survey)
    }

    fn take(
        &self,
        survey: &mut Survey,
        walk: &mut Walk,
        frame: &FrameHeader,
        visit: &mut dyn FnMut(&FrameInfo, &mut dyn Iterator<Item = RecordAt<'_>>),
    ) -> io::Result<()> {
        let info = FrameInfo::from(frame);
        let follows = survey.last.is_none_or(|last| last.number.checked_add(1) == Some(info.number));
        // Where a part is damaged its frames are missing, and that was said.
        if !follows && survey.damage.last().is_none_or(|damage| damage.to != frame.position.offset_bytes()) {
            let offset = frame.position.offset_bytes();
            self.damaged(survey, offset, offset, DamageKind::MissingFrames);
        }
        let payload = walk.payload(frame)?;
        let mut records = Vec::new();
        for_each(Records::new(payload, frame.payload_offset()), frame, self.number, &mut |record| records.push(record));
        visit(&info, &mut records.into_iter());
        survey.first.get_or_insert(info);
        survey.last = Some(info);
        survey.frames += 1;
        survey.records += u64::from(info.records);
        survey.end = frame.end_offset();
        Ok(())
    }

    fn damaged(&self, survey: &mut Survey, from: u32, to: u32, what: DamageKind) {
        survey.damage.push(Damage { segment: self.number, from, to, path: self.path.to_owned(), what });
    }
}

/// Up to where the segment was synced, for all that its frames say.
struct Evidence {
    synced: u32,
    /// What all frames behind the first broken place say.
    ahead: Option<u32>,
}

impl Evidence {
    fn at(&mut self, walk: &mut Walk, mut next: Option<FrameHeader>) -> io::Result<u32> {
        if self.ahead.is_none() {
            let mut highest = 0;
            while let Some(frame) = next {
                highest = highest.max(synced_in(&frame));
                next = walk.find(frame.end_offset())?;
            }
            self.ahead = Some(highest);
        }
        Ok(self.synced.max(self.ahead.unwrap_or(0)))
    }
}

/// Never in another segment than the frame.
const fn synced_in(frame: &FrameHeader) -> u32 {
    frame.synced_through.offset_bytes()
}

/// The bytes of a segment file with one frame of these records, all of it synced.
///
/// # Errors
/// They do not fit into a frame.
pub fn segment_of_one_frame(
    (number, store_id): (u32, u64),
    frame_number: u64,
    time: UnixMs,
    records: &[&[u8]],
) -> Result<Vec<u8>, FrameFull> {
    let room: usize =
        records.iter().map(|record| record_bytes(record.len())).sum::<usize>() + FRAME_HEADER_BYTES as usize;
    let start = Position::new(number, SEGMENT_HEADER_BYTES);
    let mut frame = FrameBuilder::new(Vec::new(), start, room, FrameKind::Synced, time);
    for record in records {
        frame.push(&[record])?;
    }
    let (header, frame) = frame.finish(store_id, frame_number, start);
    // Longer than the file, which so says that it was cut after a sync.
    let allocated_bytes = header.end_offset() + FRAME_HEADER_BYTES;
    let mut bytes = SegmentHeader { number, store_id, created: time, allocated_bytes }.encode();
    bytes.extend_from_slice(&frame);
    Ok(bytes)
}

/// Where a segment lies in a journal's directory.
#[must_use]
pub fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(segment_name(number))
}
