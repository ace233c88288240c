//! Partitions in memory, to which a test may do harm.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::index::row::Day;
use crate::index::store::{KeyRange, PartitionStore, SegmentWrite, StoreError, Visit};

type Partition = BTreeMap<Vec<u8>, Vec<u8>>;

/// Clones share what they hold, so a store outlives its index.
#[derive(Clone, Default)]
pub(super) struct MemoryPartitions {
    partitions: Arc<Mutex<BTreeMap<Day, Partition>>>,
    /// The next write fails after this many blocks.
    fail_after_blocks: Arc<Mutex<Option<usize>>>,
}

impl MemoryPartitions {
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

    fn failure() -> StoreError {
        let source = std::io::ErrorKind::StorageFull.into();
        StoreError::Io { path: PathBuf::from("memory"), action: "write index partition", source }
    }
}

impl PartitionStore for MemoryPartitions {
    fn days(&self) -> Result<Vec<Day>, StoreError> {
        Ok(self.partitions.lock().keys().copied().collect())
    }

    fn read(&self, day: Day, range: &KeyRange<'_>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
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
            return Err(Self::failure());
        }
        partition.extend([segment.marker.clone()]);
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
