//! Partitions in memory, to which a test may do harm.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use postrider_model::time::UnixMs;

use crate::index::block::Item;
use crate::index::row::Day;
use crate::index::store::{KeyRange, PartitionStore, SegmentWrite, StoreError, Visit};
use crate::index::{Index, IndexOptions};

type Partition = BTreeMap<Vec<u8>, Vec<u8>>;
type Deed = Box<dyn FnOnce() + Send>;

/// Clones share what they hold, so a store outlives its index.
#[derive(Clone, Default)]
pub(super) struct MemoryPartitions {
    partitions: Arc<Mutex<BTreeMap<Day, Partition>>>,
    /// The next write fails after this many blocks.
    fail_after_blocks: Arc<Mutex<Option<usize>>>,
    /// What is done when the next segment has just been written.
    meanwhile: Arc<Mutex<Option<Deed>>>,
    reads: Arc<AtomicUsize>,
    /// Nothing can be read at the moment.
    unreadable: Arc<AtomicBool>,
}

impl MemoryPartitions {
    /// An index over it that has not looked at it yet.
    pub(super) fn index(&self) -> Index {
        Index::over(Box::new(self.clone()), IndexOptions::KEY_WINDOW)
    }

    /// An index over it, beside a journal that has its open segment only.
    pub(super) fn fresh_index(&self) -> Index {
        let index = self.index();
        index.unindexed(&[], UnixMs(0)).expect("the store works");
        index
    }

    /// How often something was read since this was asked last.
    pub(super) fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }

    /// The items of a day, sorted.
    pub(super) fn items(&self, day: Day) -> Vec<Item> {
        self.partitions.lock().get(&day).cloned().unwrap_or_default().into_iter().collect()
    }

    /// Puts items into a day as they are.
    pub(super) fn put(&self, day: Day, items: impl IntoIterator<Item = Item>) {
        self.partitions.lock().entry(day).or_default().extend(items);
    }

    /// Has something done when the next segment has just been written.
    pub(super) fn meanwhile(&self, deed: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock() = Some(Box::new(deed));
    }

    /// Items of all partitions, in number.
    pub(super) fn len(&self) -> usize {
        self.partitions.lock().values().map(Partition::len).sum()
    }

    /// Changes or removes one item of a partition; `at` chooses which. Gives
    /// back its key.
    pub(super) fn harm(&self, at: usize, remove: bool) -> Vec<u8> {
        let count = self.len();
        let mut partitions = self.partitions.lock();
        let Some(key) = partitions.values().flat_map(Partition::keys).nth(at % count.max(1)).cloned() else {
            return Vec::new();
        };
        for partition in partitions.values_mut() {
            if remove {
                partition.remove(&key);
            } else if let Some(byte) = partition.get_mut(&key).and_then(|value| value.get_mut(at % 16)) {
                *byte ^= 0x40;
            }
        }
        key
    }

    pub(super) fn fail_after(&self, blocks: Option<usize>) {
        *self.fail_after_blocks.lock() = blocks;
    }

    pub(super) fn set_readable(&self, readable: bool) {
        self.unreadable.store(!readable, Ordering::Relaxed);
    }

    fn failure(action: &'static str) -> StoreError {
        let source = std::io::ErrorKind::StorageFull.into();
        StoreError::Io { path: PathBuf::from("memory"), action, source }
    }
}

impl PartitionStore for MemoryPartitions {
    fn days(&self) -> Result<Vec<Day>, StoreError> {
        Ok(self.partitions.lock().keys().copied().collect())
    }

    fn read(&self, day: Day, range: &KeyRange<'_>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.unreadable.load(Ordering::Relaxed) {
            return Err(Self::failure("read index partition"));
        }
        let partitions = self.partitions.lock();
        let Some(partition) = partitions.get(&day) else { return Ok(()) };
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (range.low, range.high);
        let mut items = partition.range::<[u8], _>(bounds);
        while let Some((key, value)) = if range.descending { items.next_back() } else { items.next() } {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, day: Day, segment: &SegmentWrite) -> Result<(), StoreError> {
        let mut partitions = self.partitions.lock();
        let partition = partitions.entry(day).or_default();
        partition.retain(|key, _| !segment.clear.iter().any(|prefix| key.starts_with(prefix)));
        let fail_after = self.fail_after_blocks.lock().take();
        partition.extend(segment.blocks.iter().take(fail_after.unwrap_or(usize::MAX)).cloned());
        if fail_after.is_some() {
            return Err(Self::failure("write index partition"));
        }
        partition.extend([segment.marker.clone()]);
        drop(partitions);
        if let Some(deed) = self.meanwhile.lock().take() {
            deed();
        }
        Ok(())
    }

    fn set_aside(&self, day: Day) -> Result<(), StoreError> {
        self.drop_partition(day)
    }

    fn drop_partition(&self, day: Day) -> Result<(), StoreError> {
        self.partitions.lock().remove(&day);
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.partitions.lock().values().flatten().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}
