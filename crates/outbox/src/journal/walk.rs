//! Reading frames of one segment in order, and finding them again after damage.

use std::io;
use std::sync::Arc;

use postrider_model::position::Position;

use super::frame::{FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader};
use super::layout::ALIGNMENT_BYTES;
use crate::disk::DiskFile;

/// The first read of a walk.
const FIRST_CHUNK_BYTES: usize = 64 * 1024;

/// Later reads double up to this.
const MAX_CHUNK_BYTES: usize = 1024 * 1024;

/// Zeros are looked for in blocks of this size.
const BLOCK_BYTES: usize = 4096;

/// A part of a file in memory that moves forward.
struct Window {
    file: Arc<dyn DiskFile>,
    /// Nothing is read from here on.
    limit: u64,
    start: u64,
    /// Its first bytes are those of the file from `start` on.
    buffer: Vec<u8>,
    /// How many of them.
    filled: usize,
    chunk_bytes: usize,
}

impl Window {
    /// The `len` bytes at `offset`; fewer if the file ends before.
    fn bytes(&mut self, offset: u32, len: usize) -> io::Result<&[u8]> {
        let offset = u64::from(offset);
        let len = len.min(usize::try_from(self.limit.saturating_sub(offset)).unwrap_or(usize::MAX));
        let there = self.start..self.end();
        if len > 0 && !(there.contains(&offset) && offset + len as u64 <= there.end) {
            self.fill(offset, len)?;
        }
        let at = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let end = at.saturating_add(len).min(self.filled);
        Ok(self.buffer.get(at..end).unwrap_or_default())
    }

    /// What is in memory from `offset` on, read on if it is less than `least`
    /// bytes; empty at the end only.
    fn chunk(&mut self, offset: u32, least: usize) -> io::Result<&[u8]> {
        let end = self.end();
        let here = (self.start..end).contains(&u64::from(offset));
        let there = if here { usize::try_from(end - u64::from(offset)).unwrap_or(0) } else { 0 };
        let len = if there >= least { there } else { self.chunk_bytes };
        self.bytes(offset, len)
    }

    fn fill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let left = usize::try_from(self.limit - offset).unwrap_or(usize::MAX);
        let wanted = len.max(self.chunk_bytes).min(left);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        (self.start, self.filled) = (offset, 0);
        self.chunk_bytes = (self.chunk_bytes * 2).min(MAX_CHUNK_BYTES);
        let read = self.file.read_at(self.buffer.get_mut(..wanted).unwrap_or_default(), offset)?;
        // Every frame ends in zeros that fill a word: a file that was cut among these lacks nothing.
        let end = offset.saturating_add(read as u64).next_multiple_of(ALIGNMENT_BYTES as u64);
        self.filled = usize::try_from(end - offset).unwrap_or(read).min(wanted);
        self.buffer.get_mut(read..self.filled).unwrap_or_default().fill(0);
        Ok(())
    }

    fn end(&self) -> u64 {
        self.start + self.filled as u64
    }

    /// `offset`, or the end of the hole that it lies in. Nothing but zeros is in a hole,
    /// such as the room that was made for what comes, and to read them takes its time.
    fn after_hole(&self, offset: u32) -> io::Result<u32> {
        let offset = u64::from(offset);
        if (self.start..self.end()).contains(&offset) || offset >= self.limit {
            return Ok(u32::try_from(offset).unwrap_or(u32::MAX));
        }
        let data = self.file.next_data(offset)?.clamp(offset, self.limit);
        Ok(u32::try_from(data).unwrap_or(u32::MAX))
    }
}

/// A segment whose frames are being read.
pub(super) struct Walk {
    segment: u32,
    store_id: u64,
    window: Window,
}

impl Walk {
    /// Walks through the first `limit` bytes of a segment, up to the end of a word.
    pub(super) fn new(file: Arc<dyn DiskFile>, segment: u32, store_id: u64, limit: u64) -> Self {
        let limit = limit.next_multiple_of(ALIGNMENT_BYTES as u64).min(u64::from(u32::MAX));
        let window = Window { file, limit, start: 0, buffer: Vec::new(), filled: 0, chunk_bytes: FIRST_CHUNK_BYTES };
        Self { segment, store_id, window }
    }

    /// The segment's number.
    pub(super) const fn segment(&self) -> u32 {
        self.segment
    }

    /// Where the walk ends.
    pub(super) fn limit(&self) -> u32 {
        u32::try_from(self.window.limit).unwrap_or(u32::MAX)
    }

    /// The header at `offset`, if there is one; its checksum is not looked at.
    pub(super) fn header(&mut self, offset: u32) -> io::Result<Option<FrameHeader>> {
        let position = Position::new(self.segment, offset);
        let limit = self.limit();
        let bytes = self.window.bytes(offset, FRAME_HEADER_BYTES as usize)?;
        let header = FrameHeader::decode(bytes, position, self.store_id);
        Ok(header.filter(|header| header.end_offset() <= limit))
    }

    /// The frame at `offset`, if there is one and it is as it was written.
    pub(super) fn frame(&mut self, offset: u32) -> io::Result<Option<FrameHeader>> {
        let Some(header) = self.header(offset)? else {
            return Ok(None);
        };
        let len = (header.end_offset() - offset) as usize;
        Ok(header.is_intact(self.window.bytes(offset, len)?).then_some(header))
    }

    /// The records of a frame, as bytes.
    pub(super) fn payload(&mut self, header: &FrameHeader) -> io::Result<&[u8]> {
        self.window.bytes(header.payload_offset(), header.payload_bytes as usize)
    }

    /// The bytes from `offset` on, `len` at most.
    pub(super) fn bytes(&mut self, offset: u32, len: usize) -> io::Result<&[u8]> {
        self.window.bytes(offset, len)
    }

    /// The first intact frame at `from` or later.
    pub(super) fn find(&mut self, from: u32) -> io::Result<Option<FrameHeader>> {
        let mut at = from.next_multiple_of(ALIGNMENT_BYTES as u32);
        while at < self.limit() {
            let data = self.window.after_hole(at)?;
            at = data - data % ALIGNMENT_BYTES as u32;
            let chunk = self.window.chunk(at, ALIGNMENT_BYTES)?;
            if chunk.is_empty() {
                break;
            }
            let mut words = chunk.chunks(ALIGNMENT_BYTES);
            let count = words.len();
            let Some(before) = words.position(|word| word.starts_with(&FRAME_MAGIC)) else {
                at = at.saturating_add((count * ALIGNMENT_BYTES) as u32);
                continue;
            };
            at += (before * ALIGNMENT_BYTES) as u32;
            if let Some(frame) = self.frame(at)? {
                return Ok(Some(frame));
            }
            at += ALIGNMENT_BYTES as u32;
        }
        Ok(None)
    }

    /// The end of the last byte from `from` on that is not zero; `None` if all
    /// are.
    pub(super) fn used_end(&mut self, from: u32) -> io::Result<Option<u32>> {
        let mut at = from;
        let mut end = None;
        while at < self.limit() {
            at = self.window.after_hole(at)?;
            let chunk = self.window.chunk(at, 1)?;
            if chunk.is_empty() {
                break;
            }
            if let Some(last) = last_nonzero(chunk) {
                end = Some(at + last as u32 + 1);
            }
            at += chunk.len() as u32;
        }
        Ok(end)
    }
}

/// The place of the last byte that is not zero. Whole blocks are looked at
/// first, because nearly all of them are zero.
fn last_nonzero(bytes: &[u8]) -> Option<usize> {
    let is_used = |block: &[u8]| block.iter().fold(0, |all, byte| all | byte) != 0;
    let (number, block) = bytes.chunks(BLOCK_BYTES).enumerate().rfind(|(_, block)| is_used(block))?;
    Some(number * BLOCK_BYTES + block.iter().rposition(|byte| *byte != 0)?)
}
