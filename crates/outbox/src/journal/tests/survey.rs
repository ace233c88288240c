//! What a segment file is said to hold, without opening the journal.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::disk::DiskFile;
use crate::disk::below::file_below;

/// A frame as it is shown: itself, and each record with its place.
type Shown = (FrameInfo, Vec<(u32, u32, Vec<u8>)>);

fn survey(disk: &SimDisk, number: u32, is_last: bool) -> (Survey, Vec<Shown>) {
    let path = segment_path(number);
    let file = disk.open(&path).unwrap();
    let mut shown = Vec::new();
    let survey = subject(&file, &path, number, is_last).survey(&mut |frame, records| {
        let place =
            |record: RecordAt<'_>| (record.position.offset_bytes(), record.end.offset_bytes(), record.bytes.to_vec());
        shown.push((*frame, records.map(place).collect()));
    });
    (survey.unwrap(), shown)
}

fn subject<'a>(file: &'a Arc<dyn DiskFile>, path: &'a Path, number: u32, is_last: bool) -> Subject<'a> {
    Subject { file, path, number, store_id: STORE, is_last }
}

fn damage(survey: &Survey) -> Vec<(u32, u32, DamageKind)> {
    survey.damage.iter().map(|damage| (damage.from, damage.to, damage.what)).collect()
}

/// Three frames of one record each, at 64, 160 and 256, up to 352. The last ones say that so much was synced.
fn three(synced: [u32; 2], cut: bool) -> SimDisk {
    let disk = SimDisk::new();
    let record = [named("record")];
    let frames = [(1, 64, &record[..]), (2, synced[0], &record), (3, synced[1], &record)];
    assert_eq!(write_segment(&disk, 1, &frames, cut), [64, 160, 256, 352]);
    disk
}

/// Damages a frame, not its header.
fn hurt(disk: &SimDisk, frame: u32) {
    disk.flip(&segment_path(1), frame as usize + 75, 1).unwrap();
}

#[test]
fn all_that_a_whole_segment_holds_is_told() {
    for (cut, is_last) in [(false, false), (false, true), (true, false), (true, true)] {
        let disk = SimDisk::new();
        let records = [named("one"), named("two"), named("three")];
        let frames = [(5, 64, &records[..2]), (6, 64, &[]), (7, 64, &records[2..])];
        assert_eq!(write_segment(&disk, 4, &frames, cut), [64, 192, 256, 352]);
        let (survey, shown) = survey(&disk, 4, is_last);
        let info = |number, from, end, records| FrameInfo {
            position: Position::new(4, from),
            end: Position::new(4, end),
            number,
            time: UnixMs(number),
            records,
        };
        let [first, mark, last] = [info(5, 64, 192, 2), info(6, 192, 256, 0), info(7, 256, 352, 1)];
        let [one, two, three] = records;
        let expected =
            [(first, vec![(128, 160, one), (160, 192, two)]), (mark, vec![]), (last, vec![(320, 352, three)])];
        assert_eq!(shown, expected);
        assert_eq!((survey.first, survey.last), (Some(first), Some(last)));
        assert_eq!((survey.frames, survey.records, survey.end), (3, 3, 352));
        assert_eq!(survey.damage, []);
    }
}

#[test]
fn a_segment_that_stands_ready_holds_no_frames() {
    let disk = SimDisk::new();
    write_segment(&disk, 1, &[], false);
    let (found, shown) = survey(&disk, 1, true);
    assert_eq!((shown, found.first, found.last), (vec![], None, None));
    assert_eq!((found.frames, found.records, found.end, found.damage), (0, 0, 64, vec![]));
    let holds_frames = |disk: &SimDisk| {
        let (path, file) = (segment_path(1), disk.open(&segment_path(1)).unwrap());
        subject(&file, &path, 1, true).holds_frames().unwrap()
    };
    assert!(!holds_frames(&disk));
    let used = three([64, 64], false);
    assert!(holds_frames(&used));
    // Also where those before it are damaged.
    hurt(&used, 64);
    hurt(&used, 160);
    assert!(holds_frames(&used));
    hurt(&used, 256);
    assert!(!holds_frames(&used));
}

#[test]
fn what_is_broken_in_the_last_segment_is_damage_as_far_as_it_was_synced_and_torn_after_that() {
    let torn = |end| (vec![], end);
    let damaged = |from, to| (vec![(from, to, DamageKind::Frames)], 352);
    for (broken, synced, cut, is_last, expected) in [
        // Nothing speaks for the last frame but that the file ends there, or that others come after it.
        (256, [64, 64], false, true, torn(256)),
        (256, [64, 64], true, true, damaged(256, 352)),
        (256, [64, 64], false, false, damaged(256, 352)),
        // Frames behind it speak for one, and count then themselves.
        (160, [64, 64], false, true, torn(160)),
        (160, [64, 160], false, true, torn(160)),
        (160, [64, 168], false, true, damaged(160, 256)),
        (64, [64, 64], false, true, torn(64)),
        (64, [160, 64], false, true, damaged(64, 160)),
        // Not only the next one.
        (64, [64, 160], false, true, damaged(64, 160)),
        (64, [64, 64], false, false, damaged(64, 160)),
    ] {
        let disk = three(synced, cut);
        hurt(&disk, broken);
        let (survey, shown) = survey(&disk, 1, is_last);
        assert_eq!((damage(&survey), survey.end), expected, "{broken}, synced {synced:?}, {cut}, {is_last}");
        let counted: Vec<_> = shown.iter().map(|(frame, _)| frame.position.offset_bytes()).collect();
        let expected: Vec<_> = [64, 160, 256].into_iter().filter(|at| *at != broken && *at < survey.end).collect();
        assert_eq!((counted.len() as u64, counted), (survey.frames, expected));
    }
}

#[test]
fn frames_that_are_missing_by_their_numbers_are_told_unless_damage_stands_in_their_place() {
    let record = [named("record")];
    let write = |numbers: [u64; 5]| {
        let disk = SimDisk::new();
        write_segment(&disk, 1, &numbers.map(|number| (number, 64, &record[..])), true);
        disk
    };
    let gaps = |disk: &SimDisk| damage(&survey(disk, 1, false).0);
    let missing = |at| (at, at, DamageKind::MissingFrames);
    assert_eq!(gaps(&write([9, 10, 11, 12, 13])), []);
    assert_eq!(gaps(&write([9, 11, 12, 13, 13])), [missing(160), missing(448)]);
    let disk = write([9, 10, 11, 13, 14]);
    hurt(&disk, 160);
    let frames = (160, 256, DamageKind::Frames);
    assert_eq!(gaps(&disk), [frames, missing(352)]);
    // What was in the damaged part may have been more than it looks like.
    let disk = write([9, 10, 14, 15, 16]);
    hurt(&disk, 160);
    assert_eq!(gaps(&disk), [frames]);
}

#[test]
fn a_header_that_is_damaged_or_of_another_segment_is_told() {
    let header = (0, 64, DamageKind::SegmentHeader);
    for offset in [0, 16, 63] {
        let disk = three([160, 256], false);
        disk.flip(&segment_path(1), offset, 1).unwrap();
        let (survey, shown) = survey(&disk, 1, true);
        assert_eq!((damage(&survey), shown.len()), (vec![header], 3), "{offset}");
    }
    let disk = three([160, 256], false);
    write_segment(&disk, 2, &[], false);
    let other = disk.content(&segment_path(2)).unwrap();
    disk.open(&segment_path(1)).unwrap().write_all_at(&other[..64], 0).unwrap();
    let (survey, shown) = survey(&disk, 1, true);
    assert_eq!((damage(&survey), shown.len()), (vec![header], 3));
}

/// Such a segment is what a restore ends with: nothing comes after it that would speak for it.
#[test]
fn a_segment_of_one_frame_says_itself_that_it_was_synced() {
    let records = [named("one"), named("two")];
    let bytes = segment_of_one_frame((1, STORE), 1, NOW, &[&records[0], &records[1]]).unwrap();
    let disk = SimDisk::new();
    disk.create_dir_all(&dir()).unwrap();
    replace_file(&disk, &segment_path(1), &bytes).unwrap();
    let (found, shown) = survey(&disk, 1, true);
    assert_eq!((found.frames, found.records, damage(&found)), (1, 2, vec![]));
    assert_eq!(shown[0].1.iter().map(|(.., record)| record.clone()).collect::<Vec<_>>(), records);
    hurt(&disk, 64);
    let end = bytes.len() as u32;
    let (found, _) = survey(&disk, 1, true);
    assert_eq!(damage(&found), [(64, end, DamageKind::Frames)]);
    let (opened, _) = open(&disk);
    assert_eq!(opened.report.damage, found.damage);
    assert_eq!(opened.report.torn, []);
}

/// A file into which something is written as soon as it was read once.
struct Written {
    file: Arc<dyn DiskFile>,
    was_read: AtomicBool,
    /// What, and where.
    then: (Vec<u8>, u64),
}

impl DiskFile for Written {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buffer, offset)?;
        if !self.was_read.swap(true, Ordering::SeqCst) {
            self.file.write_all_at(&self.then.0, self.then.1)?;
        }
        Ok(read)
    }

    file_below!();
}

/// The server writes on while it is read for a backup.
#[test]
fn a_frame_that_was_being_written_when_it_was_read_is_not_damaged() {
    for (at, len) in [(64, 96), (160, 96), (200, 32), (160, 8)] {
        let disk = three([160, 256], false);
        let path = segment_path(1);
        let file = disk.open(&path).unwrap();
        let then = (disk.content(&path).unwrap()[at..at + len].to_vec(), at as u64);
        file.write_all_at(&vec![0; len], at as u64).unwrap();
        let file: Arc<dyn DiskFile> = Arc::new(Written { file, was_read: AtomicBool::new(false), then });
        let mut seen = vec![];
        let survey = subject(&file, &path, 1, true).survey(&mut |frame, _| seen.push(frame.number)).unwrap();
        assert_eq!((seen, survey.frames, survey.end), (vec![1, 2, 3], 3, 352), "{at}");
        assert_eq!(survey.damage, [], "{at}");
    }
}
