//! What the writer and its readers share: which segments there are, how far
//! they reach, and open files.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Mutex, RwLock};
use postrider_model::time::UnixMs;

use super::layout::{SEGMENT_HEADER_BYTES, segment_name};
use crate::disk::{Disk, DiskFile};

/// Files kept open for readers.
const OPEN_FILES: usize = 64;

/// The distance of remembered frames in a segment. A scan that begins in the
/// middle of a segment reads this much too much at most.
pub(super) const MARK_BYTES: u32 = 256 * 1024;

/// What a segment is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentState {
    Sealed,
    Open,
    Spare,
}

/// One segment.
pub(super) struct Segment {
    pub(super) state: SegmentState,
    /// Where its frames end.
    pub(super) used: u32,
    pub(super) allocated_bytes: u64,
    pub(super) first_frame_time: Option<UnixMs>,
    /// Starts of some frames, `MARK_BYTES` apart, ascending.
    marks: Vec<u32>,
    /// Ranges that recovery found damaged.
    pub(super) quarantine: Vec<Range<u32>>,
}

impl Segment {
    pub(super) const fn new(state: SegmentState, used: u32, allocated_bytes: u64) -> Self {
        Self { state, used, allocated_bytes, first_frame_time: None, marks: Vec::new(), quarantine: Vec::new() }
    }

    /// Remembers a frame, if the last one remembered is far enough.
    pub(super) fn mark(&mut self, offset: u32) {
        let last = self.marks.last().copied().unwrap_or(SEGMENT_HEADER_BYTES);
        if offset >= last.saturating_add(MARK_BYTES) {
            self.marks.push(offset);
        }
    }

    /// The start of a frame at or before `offset`, near to it if one is known.
    pub(super) fn frame_before(&self, offset: u32) -> u32 {
        let after = self.marks.partition_point(|mark| *mark <= offset);
        after.checked_sub(1).and_then(|last| self.marks.get(last)).copied().unwrap_or(SEGMENT_HEADER_BYTES)
    }

    /// The quarantined range that holds `offset`.
    pub(super) fn quarantined(&self, offset: u32) -> Option<Range<u32>> {
        self.quarantine.iter().find(|range| range.contains(&offset)).cloned()
    }
}

pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) store_id: u64,
    pub(super) segments: RwLock<BTreeMap<u32, Segment>>,
    /// Bytes appended since the journal was opened.
    pub(super) appended_bytes: AtomicU64,
    /// No room was found for another segment, and none was removed since.
    pub(super) wants_room: AtomicBool,
    open: Mutex<OpenFiles>,
}

#[derive(Default)]
struct OpenFiles {
    /// The one used last at the end.
    files: Vec<(u32, Arc<dyn DiskFile>)>,
    /// Goes up when one is closed: what is being opened then may be the file that
    /// was replaced.
    closed: u64,
}

impl Shared {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, store_id: u64, segments: BTreeMap<u32, Segment>) -> Self {
        Self {
            disk,
            dir,
            store_id,
            segments: RwLock::new(segments),
            appended_bytes: AtomicU64::new(0),
            wants_room: AtomicBool::new(false),
            open: Mutex::default(),
        }
    }

    pub(super) fn path(&self, segment: u32) -> PathBuf {
        self.dir.join(segment_name(segment))
    }

    /// The segment's file, from the ones that are open if it is among them.
    pub(super) fn file(&self, segment: u32) -> io::Result<Arc<dyn DiskFile>> {
        loop {
            let closed = {
                let OpenFiles { files, closed } = &mut *self.open.lock();
                if let Some(at) = files.iter().position(|(number, _)| *number == segment) {
                    let entry = files.remove(at);
                    let file = Arc::clone(&entry.1);
                    files.push(entry);
                    return Ok(file);
                }
                *closed
            };
            // Opened without the lock: a slow file system must not stop all readers.
            let file = self.disk.open(&self.path(segment))?;
            let mut open = self.open.lock();
            if open.closed != closed {
                continue;
            }
            if open.files.len() >= OPEN_FILES {
                open.files.remove(0);
            }
            open.files.push((segment, Arc::clone(&file)));
            return Ok(file);
        }
    }

    /// Forgets an open file.
    pub(super) fn close(&self, segment: u32) {
        let mut open = self.open.lock();
        open.closed += 1;
        open.files.retain(|(number, _)| *number != segment);
    }

    /// Changes what is known of a segment.
    pub(super) fn update(&self, segment: u32, change: impl FnOnce(&mut Segment)) {
        if let Some(segment) = self.segments.write().get_mut(&segment) {
            change(segment);
        }
    }

    /// The first segment at or after `number` and how far it is used.
    pub(super) fn next_segment(&self, number: u32) -> Option<(u32, u32)> {
        let segments = self.segments.read();
        let (number, segment) = segments.range(number..).find(|(_, segment)| segment.state != SegmentState::Spare)?;
        Some((*number, segment.used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_lead_to_a_frame_at_or_before() {
        let mut segment = Segment::new(SegmentState::Open, SEGMENT_HEADER_BYTES, 0);
        for frame in (SEGMENT_HEADER_BYTES..4_000_000).step_by(1000) {
            segment.mark(frame);
        }
        for offset in [64, 1000, 300_000, 3_999_999] {
            let frame = segment.frame_before(offset);
            assert!(frame <= offset && offset - frame <= MARK_BYTES + 1000, "{offset}: {frame}");
        }
    }
}
