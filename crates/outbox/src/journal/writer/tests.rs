//! What the writer keeps between frames.

use std::path::Path;

use super::*;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::journal::{Opened, Start, record_bytes};

fn open(disk: &SimDisk, segment_bytes: u32) -> Opened {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = Options { store_id: 7, segment_bytes, max_bytes: u64::MAX };
    let start = Start { now: UnixMs(1_000), scan_from: Position::ZERO, clean: false };
    let opened = Journal::open(&disk, Path::new("/journal"), options, start, &mut |_| {});
    opened.unwrap_or_else(|error| unreachable!("{error}"))
}

fn append(journal: &mut Journal, len: usize) -> Result<AppendedFrame, AppendError> {
    let bound = record_bytes(len);
    let mut builder = journal.begin_frame(FrameKind::Synced, FrameClass::Reserved, bound, UnixMs(1_000))?;
    assert!(builder.push(&[&vec![1; len]]).is_ok());
    journal.append(builder)
}

#[test]
fn memory_for_a_large_frame_is_not_kept_and_that_for_others_is() {
    let disk = SimDisk::new();
    let Opened { mut journal, .. } = open(&disk, 12 << 20);
    assert!(append(&mut journal, 1_000).is_ok());
    let kept = journal.buffer.capacity();
    assert!((1_000..KEPT_BUFFER_BYTES).contains(&kept), "{kept}");
    assert!(append(&mut journal, 100).is_ok());
    assert_eq!(journal.buffer.capacity(), kept, "it was used again");
    assert!(append(&mut journal, KEPT_BUFFER_BYTES + 1).is_ok());
    assert_eq!(journal.buffer.capacity(), 0);
}
