//! Where a record stands in the journal.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The address of a record: the number of its segment and the byte offset in
/// it. Positions grow in the order of acceptance, so a position is also the
/// *sequence* that ids carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(u64);

impl Position {
    /// Before every record.
    pub const ZERO: Self = Self(0);
    /// After every record.
    pub const MAX: Self = Self(u64::MAX);

    /// The record that starts at `offset_bytes` of segment `segment`.
    #[must_use]
    pub const fn new(segment: u32, offset_bytes: u32) -> Self {
        Self(((segment as u64) << 32) | offset_bytes as u64)
    }

    /// From the number that [`Position::as_u64`] gave.
    #[must_use]
    pub const fn from_u64(raw: u64) -> Self {
        Self(raw)
    }

    /// The position as one number; order is kept.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The segment's number.
    #[must_use]
    pub const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The byte offset inside the segment.
    #[must_use]
    pub const fn offset_bytes(self) -> u32 {
        self.0 as u32
    }
}

/// A text that is no position: it must be as positions are shown, like `7:64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no position: one is a segment's number and an offset in bytes, like `7:64`")]
pub struct NoPosition;

impl std::str::FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (segment, offset) = text.split_once(':').ok_or(NoPosition)?;
        Ok(Self::new(segment.parse().map_err(|_| NoPosition)?, offset.parse().map_err(|_| NoPosition)?))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment(), self.offset_bytes())
    }
}
