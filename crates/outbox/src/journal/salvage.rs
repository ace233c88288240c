//! Reading what can be read of a segment, in spite of damage.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::error::{Damage, DamageKind};
use super::frame::{ENVELOPE_BYTES, Envelope, FRAME_HEADER_BYTES, FrameHeader, FrameKind, Records, record_bytes};
use super::layout::{SEGMENT_HEADER_BYTES, SegmentHeader, segment_name, segment_number};
use super::reader::RecordAt;
use super::walk::Walk;
use crate::disk::{Disk, DiskFile};

/// What is met on the way through a segment, in order.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A frame that counts. Its records follow.
    Frame(FrameSeen),
    /// A part that is damaged. What is left of its records follows.
    Damage(&'a Damage),
    /// A record that is whole.
    Record(RecordAt<'a>),
    /// Bytes that were a record: they are where one must be, and are not what its checksum
    /// is of. Nothing in them can be trusted.
    Broken(RecordAt<'a>),
}

/// A frame, as far as it tells when something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSeen {
    /// Its own position.
    pub position: Position,
    /// Its number: one more than that of the frame before.
    pub number: u64,
    /// When it was written.
    pub time: UnixMs,
    /// The offset after its last byte.
    pub end: u32,
}

impl FrameSeen {
    /// Whether another one is the next, by its number.
    #[must_use]
    pub const fn goes_on_with(&self, next: &Self) -> bool {
        matches!(self.number.checked_add(1), Some(number) if number == next.number)
    }
}

impl From<&FrameHeader> for FrameSeen {
    fn from(header: &FrameHeader) -> Self {
        Self { position: header.position, number: header.number, time: header.time, end: header.end_offset() }
    }
}

/// A visitor of the whole records alone.
pub(super) fn whole_records<'v>(visit: &'v mut dyn FnMut(RecordAt<'_>)) -> impl FnMut(Seen<'_>) + use<'v> {
    move |seen| {
        if let Seen::Record(record) = seen {
            visit(record);
        }
    }
}

/// Which segment is read.
pub(super) struct Source {
    pub(super) segment: u32,
    pub(super) path: PathBuf,
    pub(super) store_id: u64,
}

/// The numbers of the segments in a journal's directory, ascending, without
/// opening the journal.
///
/// # Errors
/// The directory cannot be read.
pub fn segment_numbers(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers: Vec<u32> = disk.list(dir)?.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The id of the store that the journal in `dir` belongs to, by the first
/// segment header that can be read; `None` if there is none.
///
/// # Errors
/// The directory cannot be read.
pub fn store_id(disk: &dyn Disk, dir: &Path) -> io::Result<Option<u64>> {
    for number in segment_numbers(disk, dir)? {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        let read = disk.open_to_read(&dir.join(segment_name(number))).and_then(|file| file.read_at(&mut bytes, 0));
        // Another one may be readable.
        if let (Ok(_), Ok(header)) = (read, SegmentHeader::decode(&bytes)) {
            return Ok(Some(header.store_id));
        }
    }
    Ok(None)
}

/// What one look at a segment file has shown.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// The first and the last frame that can be read.
    pub ends: Option<(FrameSeen, FrameSeen)>,
}

impl Reading {
    /// Another frame that can be read.
    fn see(&mut self, frame: FrameSeen) {
        self.ends = Some((self.ends.map_or(frame, |(first, _)| first), frame));
    }
}

/// Visits all records of one segment file that can be read, without opening
/// the journal, and tells what is damaged. Nothing is changed.
///
/// # Errors
/// The file cannot be read.
pub fn salvage_segment(
    disk: &dyn Disk,
    dir: &Path,
    segment: u32,
    store_id: u64,
    visit: &mut dyn FnMut(RecordAt<'_>),
) -> io::Result<Vec<Damage>> {
    Ok(read_up_to(u64::MAX, disk, dir, segment, store_id, visit)?.damage)
}

/// The same of the bytes up to `limit`, with the ends of what can be read.
///
/// # Errors
/// The file cannot be read.
pub fn read_up_to(
    limit: u64,
    disk: &dyn Disk,
    dir: &Path,
    segment: u32,
    store_id: u64,
    visit: &mut dyn FnMut(RecordAt<'_>),
) -> io::Result<Reading> {
    let path = dir.join(segment_name(segment));
    let file = disk.open_to_read(&path)?;
    let limit = limit.min(file.len()?);
    let mut read = Reading::default();
    let damage = read_segment(&Source { segment, path, store_id }, file, limit, &mut |seen| match seen {
        Seen::Frame(frame) => read.see(frame),
        Seen::Record(record) => visit(record),
        Seen::Damage(_) | Seen::Broken(_) => {}
    })?;
    Ok(Reading { damage, ..read })
}

/// Walks through the frames up to `limit`.
pub(super) fn read_segment(
    source: &Source,
    file: Arc<dyn DiskFile>,
    limit: u64,
    visit: &mut dyn FnMut(Seen<'_>),
) -> io::Result<Vec<Damage>> {
    let mut damage = Vec::new();
    let mut found = |from, to, what, visit: &mut dyn FnMut(Seen<'_>)| {
        let found = Damage { segment: source.segment, from, to, path: source.path.clone(), what };
        visit(Seen::Damage(&found));
        damage.push(found);
    };
    let mut walk = Walk::new(file, source.segment, source.store_id, limit);
    let header = SegmentHeader::decode(walk.bytes(0, SEGMENT_HEADER_BYTES as usize)?);
    if !header.is_ok_and(|header| (header.number, header.store_id) == (source.segment, source.store_id)) {
        found(0, SEGMENT_HEADER_BYTES, DamageKind::SegmentHeader, visit);
    }
    let mut at = SEGMENT_HEADER_BYTES;
    let mut last: Option<FrameHeader> = None;
    while at < walk.limit() {
        if let Some(frame) = walk.frame(at)? {
            if last.is_some_and(|last| last.number.checked_add(1) != Some(frame.number)) {
                found(at, at, DamageKind::MissingFrames, visit);
            }
            visit(Seen::Frame((&frame).into()));
            let payload = walk.payload(&frame)?;
            let records = Records::new(payload, frame.payload_offset());
            for_each(records, &frame, source.segment, &mut |record| visit(Seen::Record(record)));
            at = frame.end_offset();
            last = Some(frame);
            continue;
        }
        let next = walk.find(at + 1)?;
        let used = walk.used_end(at)?;
        let Some(end) = next.map(|frame| frame.position.offset_bytes()).or(used) else {
            break;
        };
        found(at, end, DamageKind::Frames, visit);
        // The last record may end in zeros.
        let resume = next.map_or_else(|| walk.limit(), |frame| frame.position.offset_bytes());
        read_broken(&mut walk, at, resume, last, visit)?;
        // Numbers are missing by this damage; they are not reported again.
        last = None;
        at = resume;
    }
    Ok(damage)
}

pub(super) fn for_each<'a>(
    records: Records<'a>,
    frame: &FrameHeader,
    segment: u32,
    visit: &mut dyn FnMut(RecordAt<'a>),
) {
    for (offset, bytes) in records {
        let end = offset + record_bytes(bytes.len()) as u32;
        visit(RecordAt {
            position: Position::new(segment, offset),
            end: Position::new(segment, end),
            frame_time: frame.time,
            kind: frame.kind,
            bytes,
        });
    }
}

/// Visits what is left of the records between `from`, where a frame began, and `to`. The
/// lengths in the envelopes are trusted as far as they lead to whole records.
fn read_broken(
    walk: &mut Walk,
    from: u32,
    to: u32,
    before: Option<FrameHeader>,
    visit: &mut dyn FnMut(Seen<'_>),
) -> io::Result<()> {
    let header = walk.header(from)?.or(before);
    let (frame_time, kind) = header.map_or((UnixMs(0), FrameKind::Synced), |header| (header.time, header.kind));
    let segment = walk.segment();
    let mut at = from.saturating_add(FRAME_HEADER_BYTES);
    while at < to {
        if walk.header(at)?.is_some() {
            at = at.saturating_add(FRAME_HEADER_BYTES);
            continue;
        }
        let Some(envelope) = Envelope::decode(walk.bytes(at, ENVELOPE_BYTES)?) else { break };
        // It would reach into what is whole.
        if ENVELOPE_BYTES.saturating_add(envelope.len) > (to - at) as usize {
            break;
        }
        let end = at + record_bytes(envelope.len) as u32;
        let bytes = walk.bytes(at + ENVELOPE_BYTES as u32, envelope.len)?;
        let is_whole = envelope.is_of(bytes);
        let (position, next) = (Position::new(segment, at), Position::new(segment, end));
        let record = RecordAt { position, end: next, frame_time, kind, bytes };
        visit(if is_whole { Seen::Record(record) } else { Seen::Broken(record) });
        at = end;
    }
    Ok(())
}
