//! What can go wrong with the journal, by name.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use postrider_model::position::Position;

use crate::disk::is_out_of_files;

/// Why nothing was appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room: the file system has none, `max_bytes` is reached, or no more
    /// files may be open. It heals by itself: call again later.
    #[error("no room for another journal segment")]
    Full,
    /// The frame would not fit into an empty segment.
    #[error("a frame of up to {bytes} bytes does not fit into a journal segment of {limit_bytes} bytes")]
    TooLarge {
        /// The bound that was asked for.
        bytes: usize,
        /// The largest that is possible.
        limit_bytes: usize,
    },
    /// A write or a sync failed, now or earlier. What is on disk is not known, so
    /// nothing is written any more (W8); only a new start finds out.
    #[error("journal file {} cannot be trusted after a failed write or sync", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
        /// The first failure.
        source: Arc<io::Error>,
    },
    /// Something failed before anything was written; it may be tried again.
    #[error("failed to prepare journal segment {}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: Arc<io::Error>,
    },
    /// The frame was begun before another one that has been appended since.
    #[error("a journal frame begun at {begun} cannot be appended at {end}")]
    OutOfTurn {
        /// Where it was begun.
        begun: Position,
        /// Where the journal ends now.
        end: Position,
    },
}

/// Why a segment was not removed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RemoveError {
    /// It is being written, or stands ready to be.
    #[error("journal segment {segment} is not sealed")]
    NotSealed {
        /// Its number.
        segment: u32,
    },
    /// The file system refused; it is still there and may be tried again.
    #[error("failed to remove journal segment {}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: Arc<io::Error>,
    },
    /// The journal is poisoned.
    #[error(transparent)]
    Poisoned(AppendError),
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such segment, or it ends before this position.
    #[error("journal holds no record at {0}")]
    NotFound(Position),
    /// The bytes are not what was written.
    #[error("journal file {} is damaged at {position}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        position: Position,
        /// Where reading can go on, at a frame; the end of the segment if nothing
        /// readable follows in it.
        resume: Position,
    },
    /// The file system failed.
    #[error("failed to read journal file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
}

impl ReadError {
    /// Whether it may be read later: too many files are open. What the disk cannot read stays so as a rule.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_out_of_files(source))
    }
}

/// Why the journal was not opened. Nothing that could be read was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system failed.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The file belongs to another store.
    #[error("journal segment {} belongs to another store", path.display())]
    ForeignStore {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer program.
    #[error("journal segment {} has format version {version}, which this program does not know", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// The position to recover from is inside of a frame.
    #[error("journal position {0} is not the start of a frame")]
    NotAFrame(Position),
    /// The size of a segment is out of range.
    #[error("a journal segment of {bytes} bytes is not possible, it must have {min_bytes} to {max_bytes} bytes")]
    SegmentSize {
        /// What was asked for.
        bytes: u32,
        /// The least.
        min_bytes: u32,
        /// The most.
        max_bytes: u32,
    },
}

/// A part of a segment that was synced once and is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's number.
    pub segment: u32,
    /// The offset of the first byte.
    pub from: u32,
    /// The offset after the last byte.
    pub to: u32,
    /// The segment's file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: DamageKind,
}

/// What is wrong with a part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The segment's header; its frames can be read.
    SegmentHeader,
    /// One frame or more cannot be read.
    Frames,
    /// Frames are missing by their numbers.
    MissingFrames,
    /// The whole segment is missing.
    MissingSegment,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            DamageKind::SegmentHeader => "the segment header is damaged",
            DamageKind::Frames => "frames are damaged",
            DamageKind::MissingFrames => "frames are missing",
            DamageKind::MissingSegment => "the segment is missing",
        };
        write!(f, "{}: bytes {} to ", self.path.display(), self.from)?;
        match self.to {
            u32::MAX => write!(f, "the end: {what}"),
            to => write!(f, "{to}: {what}"),
        }
    }
}
