//! The parts of a backup, each by itself. What they come to together is in `crate::tests::backup`.

mod ahead;
mod copy;
mod error;
mod lineage;
mod manifest;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::manifest::{FileCopy, SegmentCopy};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;

/// A disk and the same as it is given to what is tested.
fn disk() -> (SimDisk, Arc<dyn Disk>) {
    let disk = SimDisk::new();
    let shared = Arc::new(disk.clone());
    (disk, shared)
}

/// A file with this content.
fn put(disk: &SimDisk, path: &Path, content: &[u8]) {
    let file = disk.create(path).expect("there is none");
    file.write_all_at(content, 0).expect("it can be written");
}

/// The copy of a segment with frames of these numbers.
fn segment(number: u32, frames: std::ops::Range<u64>) -> SegmentCopy {
    let is_empty = frames.is_empty();
    SegmentCopy {
        number,
        file: FileCopy::of(&format!("segment-{number:010}"), &number.to_le_bytes()),
        frames: frames.end - frames.start,
        records: frames.end - frames.start,
        first_frame: if is_empty { 0 } else { frames.start },
        last_frame: if is_empty { 0 } else { frames.end - 1 },
        first_time_ms: UnixMs(frames.start),
        last_time_ms: UnixMs(frames.end),
        sealed: true,
        version: None,
        damage: vec![],
    }
}

/// The same with a part that could not be read.
fn damaged(segment: SegmentCopy) -> SegmentCopy {
    SegmentCopy { damage: vec![(64, 128)], ..segment }
}
