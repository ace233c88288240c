//! The bytes of a frame: a header, and records in envelopes. All numbers are
//! little-endian. `docs/format.md` has the tables.

use bytes::{Buf, BufMut};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::layout::{ALIGNMENT_BYTES, FORMAT_VERSION, SEGMENT_HEADER_BYTES, aligned};

/// The size of a frame's header.
pub(super) const FRAME_HEADER_BYTES: u32 = 64;

/// The first four bytes of every frame, `PRFR`. As the length of a record it
/// would be too large, so that a frame is never taken for a record.
pub(super) const FRAME_MAGIC: [u8; 4] = *b"PRFR";

/// The size of a record's envelope: its length and its checksum.
pub(super) const ENVELOPE_BYTES: usize = 8;

/// No journal comes as far as this number of a frame, by a million of them a second.
const MAX_NUMBER: u64 = u64::MAX >> 1;
/// Where the checksum stands in a frame's header.
const CRC_AT: std::ops::Range<usize> = 8..12;

/// The bytes that a record of `len` bytes takes in a frame: envelope, record,
/// padding. Sum it up for the bound of [`super::Journal::begin_frame`].
#[must_use]
pub const fn record_bytes(len: usize) -> usize {
    aligned(ENVELOPE_BYTES + len)
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// Accepted messages or configuration: somebody waits for the sync.
    Synced,
    /// Only outcomes: may be synced later, with others.
    Lazy,
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: FrameKind,
    pub(super) records: u32,
    pub(super) payload_bytes: u32,
    pub(super) store_id: u64,
    pub(super) position: Position,
    pub(super) number: u64,
    pub(super) synced_through: Position,
    pub(super) time: UnixMs,
    /// Over the header with zeros here, and the payload.
    pub(super) crc: u32,
}

impl FrameHeader {
    /// Where the next frame begins.
    pub(super) const fn end_offset(&self) -> u32 {
        self.position.offset_bytes() + FRAME_HEADER_BYTES + self.payload_bytes
    }

    /// Where the first record begins.
    pub(super) const fn payload_offset(&self) -> u32 {
        self.position.offset_bytes() + FRAME_HEADER_BYTES
    }

    /// The bytes of the header as they stand on disk.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME_HEADER_BYTES as usize);
        out.put_slice(&FRAME_MAGIC);
        out.put_u16_le(FORMAT_VERSION);
        out.put_u8(match self.kind {
            FrameKind::Synced => 1,
            FrameKind::Lazy => 2,
        });
        out.put_u8(0);
        out.put_u32_le(self.crc);
        out.put_u32_le(self.payload_bytes);
        out.put_u32_le(self.records);
        out.put_u32_le(0);
        out.put_u64_le(self.store_id);
        out.put_u64_le(self.position.as_u64());
        out.put_u64_le(self.number);
        out.put_u64_le(self.synced_through.as_u64());
        out.put_u64_le(self.time.0);
        out
    }

    /// The header of the same frame with the checksum that belongs to `payload`.
    pub(super) fn sealed(self, payload: &[u8]) -> Self {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&Self { crc: 0, ..self }.encode()), payload);
        Self { crc, ..self }
    }

    /// Reads a header that must stand at `position` of the store; the checksum
    /// is not looked at.
    pub(super) fn decode(bytes: &[u8], position: Position, store_id: u64) -> Option<Self> {
        let mut bytes = bytes.get(..FRAME_HEADER_BYTES as usize)?.strip_prefix(&FRAME_MAGIC)?;
        let version = bytes.get_u16_le();
        let kind = match bytes.get_u8() {
            1 => FrameKind::Synced,
            2 => FrameKind::Lazy,
            _ => return None,
        };
        let zero = bytes.get_u8();
        let crc = bytes.get_u32_le();
        let payload_bytes = bytes.get_u32_le();
        let records = bytes.get_u32_le();
        let also_zero = bytes.get_u32_le();
        let header = Self {
            kind,
            records,
            payload_bytes,
            crc,
            store_id: bytes.get_u64_le(),
            position: Position::from_u64(bytes.get_u64_le()),
            number: bytes.get_u64_le(),
            synced_through: Position::from_u64(bytes.get_u64_le()),
            time: UnixMs(bytes.get_u64_le()),
        };
        let start = Position::new(position.segment(), SEGMENT_HEADER_BYTES);
        let room = u32::MAX - FRAME_HEADER_BYTES - position.offset_bytes().min(u32::MAX - FRAME_HEADER_BYTES);
        let plausible = version == FORMAT_VERSION
            && (zero, also_zero) == (0, 0)
            && header.store_id == store_id
            && header.position == position
            && (start..=position).contains(&header.synced_through)
            // The journal may be cut there, and goes on then where a frame can be found.
            && (header.synced_through.offset_bytes() as usize).is_multiple_of(ALIGNMENT_BYTES)
            && (payload_bytes as usize).is_multiple_of(ALIGNMENT_BYTES)
            && payload_bytes <= room
            // Others follow, by one more each.
            && header.number <= MAX_NUMBER;
        plausible.then_some(header)
    }

    /// Whether `frame` is the whole frame of this header, as it was written.
    pub(super) fn is_intact(&self, frame: &[u8]) -> bool {
        let Some((header, payload)) = frame.split_at_checked(FRAME_HEADER_BYTES as usize) else {
            return false;
        };
        let (Some(before), Some(after)) = (header.get(..CRC_AT.start), header.get(CRC_AT.end..)) else {
            return false;
        };
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]), after);
        let mut records = Records::new(payload, 0);
        payload.len() == self.payload_bytes as usize
            && crc32c::crc32c_append(crc, payload) == self.crc
            && records.by_ref().count() == self.records as usize
            && records.rest.is_empty()
    }
}

/// An envelope: the length and the checksum of a record.
#[derive(Clone, Copy)]
pub(super) struct Envelope {
    pub(super) len: usize,
    crc: u32,
}

impl Envelope {
    /// The envelope at the start of `bytes`. There are no empty records, so that
    /// zeros are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = bytes.get(..ENVELOPE_BYTES)?;
        let len = bytes.get_u32_le() as usize;
        (len > 0).then_some(Self { len, crc: bytes.get_u32_le() })
    }

    /// The envelope of a record.
    pub(super) fn of(record: &[u8]) -> Self {
        Self { len: record.len(), crc: crc32c::crc32c(record) }
    }

    /// The bytes as they stand on disk.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENVELOPE_BYTES);
        out.put_u32_le(self.len as u32);
        out.put_u32_le(self.crc);
        out
    }

    /// Whether `record` is what was written.
    pub(super) fn is_of(&self, record: &[u8]) -> bool {
        record.len() == self.len && crc32c::crc32c(record) == self.crc
    }
}

/// The records of a payload, each with its offset in the segment. Ends at the
/// first thing that is not a record; `rest` is what was not read.
pub(super) struct Records<'a> {
    pub(super) rest: &'a [u8],
    offset: u32,
}

impl<'a> Records<'a> {
    /// The records in `payload`, which begins at `offset` of its segment.
    pub(super) const fn new(payload: &'a [u8], offset: u32) -> Self {
        Self { rest: payload, offset }
    }

    /// Where the next record would begin.
    pub(super) const fn offset(&self) -> u32 {
        self.offset
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let envelope = Envelope::decode(self.rest)?;
        let (whole, rest) = self.rest.split_at_checked(record_bytes(envelope.len))?;
        let record = whole.get(ENVELOPE_BYTES..ENVELOPE_BYTES + envelope.len)?;
        let offset = self.offset;
        self.offset += whole.len() as u32;
        self.rest = rest;
        Some((offset, record))
    }
}

/// Lets `edit` change the bytes of a frame's records, not their number, and puts
/// their checksums right. Says whether any was changed.
pub(super) fn edit_records(
    payload: &mut [u8],
    frame: &FrameHeader,
    edit: &mut dyn FnMut(Position, &mut [u8]) -> bool,
) -> bool {
    let first = frame.payload_offset();
    let places: Vec<_> = Records::new(payload, first).map(|(offset, record)| (offset, record.len())).collect();
    let mut edited = false;
    for (offset, len) in places {
        let start = (offset - first) as usize;
        let whole = payload.get_mut(start..start + ENVELOPE_BYTES + len).unwrap_or_default();
        let Some((envelope, record)) = whole.split_at_mut_checked(ENVELOPE_BYTES) else { continue };
        if edit(Position::new(frame.position.segment(), offset), record) {
            envelope.copy_from_slice(&Envelope::of(record).encode());
            edited = true;
        }
    }
    edited
}

/// A record does not fit into the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of {bytes} bytes does not fit into the {left_bytes} bytes that the frame has left")]
pub struct FrameFull {
    /// What the record takes, as [`record_bytes`] counts.
    pub bytes: usize,
    /// The room left in the frame.
    pub left_bytes: usize,
}

/// A frame in the making. Dropping it leaves the journal as it was.
#[derive(Debug)]
pub struct FrameBuilder {
    /// Room for the header, then the payload.
    buffer: Vec<u8>,
    start: Position,
    limit_bytes: usize,
    kind: FrameKind,
    time: UnixMs,
    records: u32,
}

impl FrameBuilder {
    /// A frame at `start` that takes `limit_bytes` at most, header included.
    pub(super) fn new(mut buffer: Vec<u8>, start: Position, limit_bytes: usize, kind: FrameKind, time: UnixMs) -> Self {
        buffer.clear();
        buffer.resize(FRAME_HEADER_BYTES as usize, 0);
        Self { buffer, start, limit_bytes, kind, time, records: 0 }
    }

    /// The address that the next record will have.
    #[must_use]
    pub fn next_position(&self) -> Position {
        let offset = self.start.offset_bytes() + self.buffer.len() as u32;
        Position::new(self.start.segment(), offset)
    }

    /// The frame's time: the one given, but never before the last frame's.
    #[must_use]
    pub const fn time(&self) -> UnixMs {
        self.time
    }

    /// What the frame holds.
    #[must_use]
    pub const fn kind(&self) -> FrameKind {
        self.kind
    }

    /// Records pushed so far.
    #[must_use]
    pub const fn records(&self) -> u32 {
        self.records
    }

    /// Adds one record, given in parts that are joined; gives its address. The
    /// bytes are copied once.
    ///
    /// # Errors
    /// It does not fit; the frame is as before.
    ///
    /// # Panics
    /// In debug builds if the record is empty, which the format has no place for.
    pub fn push(&mut self, parts: &[&[u8]]) -> Result<Position, FrameFull> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        debug_assert!(len > 0, "a record is never empty");
        let left_bytes = self.limit_bytes.saturating_sub(self.buffer.len());
        let bytes = record_bytes(len);
        if bytes > left_bytes || len == 0 {
            return Err(FrameFull { bytes, left_bytes });
        }
        let position = self.next_position();
        let crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        self.buffer.reserve(bytes);
        self.buffer.put_u32_le(len as u32);
        self.buffer.put_u32_le(crc);
        for part in parts {
            self.buffer.put_slice(part);
        }
        self.buffer.resize(aligned(self.buffer.len()), 0);
        self.records += 1;
        Ok(position)
    }

    /// Where the frame's header stands.
    pub(super) const fn start(&self) -> Position {
        self.start
    }

    /// The bytes to write, with the header filled in.
    pub(super) fn finish(mut self, store_id: u64, number: u64, synced_through: Position) -> (FrameHeader, Vec<u8>) {
        let payload = self.buffer.get(FRAME_HEADER_BYTES as usize..).unwrap_or_default();
        let header = FrameHeader {
            kind: self.kind,
            records: self.records,
            payload_bytes: payload.len() as u32,
            store_id,
            position: self.start,
            number,
            synced_through,
            time: self.time,
            crc: 0,
        }
        .sealed(payload);
        if let Some(place) = self.buffer.get_mut(..FRAME_HEADER_BYTES as usize) {
            place.copy_from_slice(&header.encode());
        }
        (header, self.buffer)
    }
}
