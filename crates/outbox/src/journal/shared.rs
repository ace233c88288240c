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
    use std::path::Path;

    use super::*;
    use crate::disk::below::disk_below;
    use crate::disk::sim::SimDisk;
    use crate::disk::{read_whole, replace_file, temporary_name};

    #[test]
    fn a_frame_is_remembered_if_it_is_far_enough_behind_the_last_one() {
        let mut segment = Segment::new(SegmentState::Open, SEGMENT_HEADER_BYTES, 0);
        let first = SEGMENT_HEADER_BYTES + MARK_BYTES;
        assert_eq!(segment.frame_before(u32::MAX), SEGMENT_HEADER_BYTES);
        for frame in [SEGMENT_HEADER_BYTES, first - 8, first, first + 8, first + MARK_BYTES - 8, 3 * MARK_BYTES] {
            segment.mark(frame);
        }
        assert_eq!(segment.marks, [first, 3 * MARK_BYTES]);
        for (offset, frame) in [
            (SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES),
            (first - 8, SEGMENT_HEADER_BYTES),
            (first, first),
            (3 * MARK_BYTES - 8, first),
            (3 * MARK_BYTES, 3 * MARK_BYTES),
            (u32::MAX, 3 * MARK_BYTES),
        ] {
            assert_eq!(segment.frame_before(offset), frame, "{offset}");
        }
    }

    fn shared(disk: Arc<dyn Disk>, segments: impl IntoIterator<Item = (u32, SegmentState, u32)>) -> Arc<Shared> {
        let segments = segments.into_iter().map(|(number, state, used)| (number, Segment::new(state, used, 4_096)));
        Arc::new(Shared::new(disk, PathBuf::from("/"), 7, segments.collect()))
    }

    fn content(file: &dyn DiskFile) -> Vec<u8> {
        read_whole(file).unwrap_or_else(|error| unreachable!("{error}"))
    }

    #[test]
    fn an_offset_is_quarantined_inside_of_a_range_and_not_at_its_end() {
        let mut segment = Segment::new(SegmentState::Sealed, 1_000, 1_000);
        assert_eq!(segment.quarantined(64), None);
        segment.quarantine = vec![64..144, 144..160, 400..480];
        for (offset, range) in [
            (63, None),
            (64, Some(64..144)),
            (143, Some(64..144)),
            (144, Some(144..160)),
            (160, None),
            (479, Some(400..480)),
            (480, None),
        ] {
            assert_eq!(segment.quarantined(offset), range, "{offset}");
        }
    }

    #[test]
    fn the_next_segment_is_the_first_that_may_hold_frames() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let (sealed, open, spare) = (SegmentState::Sealed, SegmentState::Open, SegmentState::Spare);
        let shared = shared(disk, [(3, sealed, 300), (5, sealed, 500), (6, open, 600), (7, spare, 64)]);
        for (from, next) in [
            (0, Some((3, 300))),
            (3, Some((3, 300))),
            (4, Some((5, 500))),
            (6, Some((6, 600))),
            (7, None),
            (u32::MAX, None),
        ] {
            assert_eq!(shared.next_segment(from), next, "{from}");
        }
        shared.update(7, |segment| (segment.state, segment.used) = (open, 700));
        shared.update(8, |segment| segment.used = 800);
        assert_eq!((shared.next_segment(7), shared.next_segment(8)), (Some((7, 700)), None));
    }

    #[test]
    fn the_files_used_last_stay_open_and_no_more_of_them() {
        let disk = SimDisk::new();
        let last = OPEN_FILES as u32 + 1;
        for number in 1..=last {
            assert!(disk.create(&Path::new("/").join(segment_name(number))).is_ok());
        }
        let shared = shared(Arc::new(disk.clone()), []);
        for number in 1..last {
            assert!(shared.file(number).is_ok());
        }
        // Now the second is the one that was not used for longest.
        assert!(shared.file(1).is_ok() && shared.file(last).is_ok());
        disk.set_out_of_files(true);
        let open: Vec<_> = (1..=last).filter(|number| shared.file(*number).is_ok()).collect();
        assert_eq!(open, std::iter::once(1).chain(3..=last).collect::<Vec<_>>());
        shared.close(5);
        assert!(shared.file(4).is_ok() && shared.file(5).is_err() && shared.file(6).is_ok());
        disk.set_out_of_files(false);
        assert!(shared.file(5).is_ok() && shared.file(2).is_ok());
        assert_eq!(shared.open.lock().files.len(), OPEN_FILES);
    }

    /// A disk that puts another file in the place of one at the moment at which that is opened.
    struct Replacing {
        disk: SimDisk,
        /// By whom it is read.
        replaced: Mutex<Vec<Arc<Shared>>>,
    }

    impl Disk for Replacing {
        fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
            let file = self.disk.open(path)?;
            if let Some(shared) = self.replaced.lock().pop() {
                self.disk.rename(&temporary_name(path), path)?;
                shared.close(1);
            }
            Ok(file)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.disk.rename(from, to)
        }

        disk_below!();
    }

    /// What was expunged would be read from the old file for as long as it is open.
    #[test]
    fn a_file_that_is_replaced_while_it_is_opened_is_opened_anew() {
        let disk = Arc::new(Replacing { disk: SimDisk::new(), replaced: Mutex::default() });
        let reader: Arc<dyn Disk> = Arc::<Replacing>::clone(&disk);
        let shared = shared(reader, [(1, SegmentState::Sealed, 64)]);
        for before in [false, true] {
            for (path, bytes) in [(shared.path(1), b"old"), (temporary_name(&shared.path(1)), b"new")] {
                assert!(replace_file(&disk.disk, &path, bytes).is_ok());
            }
            if before {
                shared.close(1);
            }
            disk.replaced.lock().push(Arc::clone(&shared));
            for _ in 0..2 {
                assert_eq!(shared.file(1).map(|file| content(&*file)).ok().as_deref(), Some(b"new".as_slice()));
            }
            assert_eq!(disk.replaced.lock().len(), 0, "it was replaced");
        }
    }

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
