//! Where sealed rows are kept: one ordered map of bytes for each day.

use std::io;
use std::ops::Bound;
use std::path::PathBuf;

use super::block::Item;
use super::row::Day;

/// Partitions as the rest of the index sees them.
pub(super) trait PartitionStore: Send + Sync {
    /// The days that have a partition.
    fn days(&self) -> Result<Vec<Day>, StoreError>;

    /// Shows the items of a range, in the order asked for, until `visit` says
    /// `false`. A partition that is not there has none, and is not made.
    /// `visit` must not come back to the store.
    fn read(&self, day: Day, range: &KeyRange<'_>, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Writes the blocks of one segment, and when they are as safe as the store
    /// makes them, its marker. Makes the partition if it is not there.
    fn write(&self, day: Day, segment: &SegmentWrite) -> Result<(), StoreError>;

    /// Moves a partition out of the way, whatever its condition.
    fn set_aside(&self, day: Day) -> Result<(), StoreError>;

    /// Deletes a partition.
    fn drop_partition(&self, day: Day) -> Result<(), StoreError>;

    /// Bytes on disk, with what was set aside.
    fn size_bytes(&self) -> u64;
}

/// Sees a key and its value; says whether to go on.
pub(super) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> bool + 'a;

/// A range of keys and the order to read it in.
pub(super) struct KeyRange<'a> {
    pub(super) low: Bound<&'a [u8]>,
    pub(super) high: Bound<&'a [u8]>,
    pub(super) descending: bool,
}

/// Everything that is written of one segment.
pub(super) struct SegmentWrite {
    /// What an interrupted write may have left under these prefixes goes first.
    pub(super) clear: Vec<Vec<u8>>,
    /// The blocks, sorted by key.
    pub(super) blocks: Vec<Item>,
    /// Written last.
    pub(super) marker: Item,
}

/// Why a partition did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// It is of no use any more and has to be rebuilt.
    #[error("index partition {} is damaged: {detail}", path.display())]
    Damaged {
        /// Its directory.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// It may work another time.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}
