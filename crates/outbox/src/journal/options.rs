//! How a journal is laid out.

use super::error::OpenError;
use super::frame::FRAME_HEADER_BYTES;
use super::layout::{ALIGNMENT_BYTES, SEGMENT_HEADER_BYTES};

/// The size of a segment if nothing else is said.
pub const DEFAULT_SEGMENT_BYTES: u32 = 64 * 1024 * 1024;

/// The smallest segment that makes sense.
const MIN_SEGMENT_BYTES: u32 = 1024;

/// The largest: offsets are 32 bits wide, and the sum of two must not pass them.
const MAX_SEGMENT_BYTES: u32 = 1024 * 1024 * 1024;

/// How a journal is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The store that the journal belongs to, a random number that is never shown
    /// to anybody: frames are recognised by it.
    pub store_id: u64,
    /// The size of new segments, in bytes.
    pub segment_bytes: u32,
    /// What all segments together may take on disk, in bytes.
    pub max_bytes: u64,
}

impl Options {
    /// The largest bound that a frame may have, see [`super::record_bytes`].
    #[must_use]
    pub const fn frame_limit_bytes(&self) -> usize {
        // The segment's header, the frame's header, and the mark of recovery.
        self.whole_words().saturating_sub(SEGMENT_HEADER_BYTES + 2 * FRAME_HEADER_BYTES) as usize
    }

    /// The size of a segment rounded down to whole words, if it is possible.
    pub(super) fn checked(self) -> Result<Self, OpenError> {
        if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&self.segment_bytes) {
            return Err(OpenError::SegmentSize {
                bytes: self.segment_bytes,
                min_bytes: MIN_SEGMENT_BYTES,
                max_bytes: MAX_SEGMENT_BYTES,
            });
        }
        Ok(Self { segment_bytes: self.whole_words(), ..self })
    }

    /// What a segment really takes.
    const fn whole_words(&self) -> u32 {
        self.segment_bytes - self.segment_bytes % ALIGNMENT_BYTES as u32
    }
}
