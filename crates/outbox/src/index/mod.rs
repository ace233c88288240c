//! Lists and look-ups, derived from the journal.
//!
//! ```text
//!   committer ----- insert(segment, rows) ---> live rows, in memory
//!                                                 |
//!   background ---- seal(segment, day) -----------+--> sorted, packed, written to the
//!        |                                             partition of the day, dropped from memory
//!        +--------- unindexed(all segments) --> what is not on disk, newest first
//!        +--------- load(segment, day, rows read from the journal) --> the same way
//!
//!   readers ------- messages, attempts, find_key --> live rows and partitions, merged
//! ```
//!
//! The journal is the truth: nothing is decided by what the index says, nothing
//! waits for it, and a partition that is damaged, of another version or gone is
//! moved aside and built anew from the journal. Lists that need it answer
//! [`IndexError::Rebuilding`] until then.
//!
//! sled is named in `partition.rs` and nowhere else. It writes no row by itself
//! and removes none: a segment's rows go in as blocks, a day's rows go out with
//! their directory.

mod block;
mod bloom;
mod catalog;
mod codec;
mod error;
mod family;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod key_filter;
mod live;
mod partition;
mod query;
mod rebuild;
mod row;
mod scan;
mod seal;
mod store;
mod summary;

#[cfg(test)]
mod tests;

pub use error::IndexError;
pub use live::SegmentRows;
pub use query::Seen;
pub use row::{AttemptRow, Day, EndpointMask, KeyRow, MessageRow, Row, SettledRow};

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use catalog::Catalog;
use partition::SledPartitions;
use store::PartitionStore;

/// What the index may use.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// The directory that it keeps its partitions in. It is made if it is not there.
    pub directory: PathBuf,
    /// Partitions that are open at once, at least 1. While more are being read
    /// at the same moment, more are open.
    pub open_partitions: usize,
    /// Bytes that the caches of all open partitions have together.
    pub cache_bytes: u64,
    /// How long idempotency keys and event ids are looked up.
    pub key_window: Duration,
}

impl IndexOptions {
    /// Partitions open at once, unless told otherwise.
    pub const OPEN_PARTITIONS: usize = 8;
    /// Bytes of cache, unless told otherwise. A page of a list reads a few blocks, which the system has
    /// in its own cache; sled takes twice what it is told.
    pub const CACHE_BYTES: u64 = 16 << 20;
    /// The key window, unless told otherwise: 24 h.
    pub const KEY_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

    /// The usual limits.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            open_partitions: Self::OPEN_PARTITIONS,
            cache_bytes: Self::CACHE_BYTES,
            key_window: Self::KEY_WINDOW,
        }
    }
}

/// The index. All methods may be called from any thread; those that read or
/// write partitions say so and must not be called where nothing may block.
pub struct Index {
    store: Box<dyn PartitionStore>,
    catalog: RwLock<Catalog>,
    /// Held by the one that writes or deletes partitions.
    writing: Mutex<()>,
    key_window: Duration,
    set_aside: AtomicU64,
}

impl Index {
    /// Makes the directory if it is not there. Partitions are not looked at
    /// before [`Index::unindexed`] is called; until then every list answers
    /// [`IndexError::Rebuilding`].
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(options: &IndexOptions) -> Result<Self, IndexError> {
        let store = SledPartitions::new(&options.directory, options.open_partitions, options.cache_bytes)?;
        Ok(Self::over(Box::new(store), options.key_window))
    }

    fn over(store: Box<dyn PartitionStore>, key_window: Duration) -> Self {
        Self { store, catalog: RwLock::default(), writing: Mutex::default(), key_window, set_aside: AtomicU64::new(0) }
    }
}
