//! How much fits where, how much is made ready, and what the end of the journal says.

use super::*;
use crate::disk::sim::Survival;

fn begin(journal: &mut Journal, class: FrameClass, bound: usize) -> Result<FrameBuilder, AppendError> {
    journal.begin_frame(FrameKind::Synced, class, bound, NOW)
}

/// A frame with one record that takes `bytes` with its envelope.
fn write(journal: &mut Journal, bytes: usize) -> Position {
    append(journal, FrameKind::Synced, &[vec![7; bytes - 8]]).unwrap().first().unwrap().0
}

fn spares(opened: &Opened) -> usize {
    opened.reader.segments().iter().filter(|info| info.number > opened.journal.end().segment()).count()
}

#[test]
fn a_size_of_segments_counts_between_its_bounds_and_in_whole_words() {
    let sized = |segment_bytes| Options { segment_bytes, ..options() };
    for (bytes, whole) in [(1_024, 1_024), (1_031, 1_024), (1_032, 1_032), (1 << 30, 1 << 30)] {
        assert_eq!(sized(bytes).checked().ok(), Some(sized(whole)), "{bytes}");
    }
    for wrong in [0, 1_023, (1 << 30) + 1, u32::MAX] {
        let Err(OpenError::SegmentSize { bytes, min_bytes, max_bytes }) = sized(wrong).checked() else {
            unreachable!("{wrong} bytes are refused")
        };
        assert_eq!((bytes, min_bytes, max_bytes), (wrong, 1_024, 1 << 30));
    }
    let disk = SimDisk::new();
    drop(try_open(&disk, sized(2_055), unclean(Position::ZERO)).unwrap());
    assert_eq!(disk.content(&segment_path(1)).unwrap().len(), 2_048);
}

/// Who builds frames asks the options, and the journal must not refuse what they promise.
#[test]
fn a_frame_as_large_as_the_options_say_is_taken_and_no_larger_one() {
    for segment_bytes in 2_048..=2_056 {
        let disk = SimDisk::new();
        let options = Options { segment_bytes, ..options() };
        let (mut opened, _) = try_open(&disk, options, unclean(Position::ZERO)).unwrap();
        let limit = options.frame_limit_bytes();
        assert_eq!(limit, if segment_bytes < 2_056 { 2_048 - 192 } else { 2_056 - 192 });
        let refused = begin(&mut opened.journal, FrameClass::Reserved, limit + 1).err().unwrap();
        let AppendError::TooLarge { bytes, limit_bytes } = refused else { unreachable!("{refused}") };
        assert_eq!((bytes, limit_bytes), (limit + 1, limit));
        assert_eq!(opened.journal.end(), Position::ZERO, "nothing was begun for it");
        let position = write(&mut opened.journal, limit);
        opened.journal.sync().unwrap();
        let disk = disk.crash(Survival::Nothing);
        let (again, rows) = try_open(&disk, options, unclean(Position::ZERO)).unwrap();
        assert_eq!(rows.len(), 1, "{segment_bytes}");
        assert_eq!(again.reader.read(position).unwrap().len(), limit - 8);
        assert_eq!(disk.content(&segment_path(1)).unwrap().len(), limit + 192, "with the mark of recovery");
    }
    assert_eq!(Options { segment_bytes: 100, ..options() }.frame_limit_bytes(), 0);
}

#[test]
fn a_frame_stays_in_the_open_segment_as_long_as_it_fits_with_the_mark_of_recovery() {
    // After the header of the segment and a frame of 1,064 bytes. Two more headers are needed.
    let fits = SEGMENT_BYTES as usize - 64 - 1_064 - 2 * 64;
    for (bound, segment, offset) in [(fits, 1, 64 + 1_064), (fits + 1, 2, 64)] {
        let disk = SimDisk::new();
        let (mut opened, _) = open(&disk);
        write(&mut opened.journal, 1_000);
        let mut builder = begin(&mut opened.journal, FrameClass::Ingest, bound).unwrap();
        assert_eq!(builder.next_position(), Position::new(segment, offset + 64), "{bound}");
        if segment == 1 {
            assert!(builder.push(&[&vec![1; bound - 7]]).is_err(), "it may not take the room of the mark");
            builder.push(&[&vec![1; bound - 8]]).unwrap();
            let appended = opened.journal.append(builder).unwrap();
            assert_eq!((appended.first, appended.end), (Position::new(1, 1_128), opened.journal.end()));
            assert_eq!(appended.bytes as usize, 64 + bound);
            assert_eq!(appended.end.offset_bytes(), SEGMENT_BYTES - 64);
            // Not even a frame without records would leave room for it.
            let next = begin(&mut opened.journal, FrameClass::Ingest, 0).unwrap();
            assert_eq!(next.next_position().segment(), 2);
        }
    }
}

#[test]
fn two_segments_stand_ready_behind_the_open_one_and_the_last_is_not_for_messages() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let largest = options().frame_limit_bytes();
    let state = |opened: &Opened| {
        let journal = &opened.journal;
        let room = [FrameClass::Ingest, FrameClass::Reserved].map(|class| journal.has_room(class));
        (spares(opened), room, journal.wants_provision())
    };
    disk.set_free_bytes(100);
    assert_eq!(state(&opened), (3, [true, true], false), "one to be opened");
    write(&mut opened.journal, largest);
    assert_eq!(state(&opened), (2, [true, true], false));
    write(&mut opened.journal, largest);
    assert_eq!(state(&opened), (1, [false, true], true));
    // It is what must go on record that may take it.
    assert!(matches!(begin(&mut opened.journal, FrameClass::Ingest, largest), Err(AppendError::Full)));
    write(&mut opened.journal, largest);
    assert_eq!(state(&opened), (0, [false, false], true));
    assert!(matches!(begin(&mut opened.journal, FrameClass::Reserved, largest), Err(AppendError::Full)));
    assert_eq!(opened.journal.end().segment(), 3);
    disk.set_free_bytes(u64::from(SEGMENT_BYTES) + 100);
    assert!(matches!(opened.journal.provision(), Err(AppendError::Full)));
    assert_eq!(state(&opened), (1, [false, true], true));
    disk.set_free_bytes(1 << 20);
    opened.journal.provision().unwrap();
    assert_eq!(state(&opened), (2, [true, true], false));
}

#[test]
fn what_fits_into_the_open_segment_goes_there_while_one_more_stands_ready() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    disk.set_free_bytes(100);
    for (ready, is_taken) in [(2, true), (1, true), (0, false)] {
        // The larger ones leave no room for a second.
        write(&mut opened.journal, 1_200);
        assert_eq!(spares(&opened), ready);
        let begun = begin(&mut opened.journal, FrameClass::Ingest, 16);
        assert_eq!(begun.is_ok(), is_taken, "{ready}");
        assert!(begin(&mut opened.journal, FrameClass::Reserved, 16).is_ok());
        assert_eq!(spares(&opened), ready, "none was opened for it");
    }
}

#[test]
fn segments_take_no_more_on_disk_than_they_may() {
    let whole = 3 * u64::from(SEGMENT_BYTES);
    for (max_bytes, made) in [(whole, 3), (whole - 1, 2), (whole + 1, 3), (0, 0)] {
        let disk = SimDisk::new();
        let limited = Options { max_bytes, ..options() };
        let (mut opened, _) = try_open(&disk, limited, unclean(Position::ZERO)).unwrap();
        assert_eq!(opened.reader.segments().len(), made, "{max_bytes}");
        assert_eq!(opened.reader.total_bytes(), made as u64 * u64::from(SEGMENT_BYTES));
        assert_eq!((opened.journal.provision().is_ok(), opened.reader.wants_room()), (made == 3, made != 3));
        opened.journal.set_max_bytes(whole);
        opened.journal.provision().unwrap();
        assert_eq!((opened.reader.segments().len(), opened.reader.wants_room()), (3, false), "{max_bytes}");
    }
}

#[test]
fn the_last_number_is_never_given_to_a_segment() {
    let disk = SimDisk::new();
    disk.create_dir_all(&dir()).unwrap();
    let bytes = segment_of_one_frame((u32::MAX - 2, STORE), 7, NOW, &[b"late"]).unwrap();
    crate::disk::replace_file(&disk, &segment_path(u32::MAX - 2), &bytes).unwrap();
    let (mut opened, rows) = open(&disk);
    assert_eq!((rows.len(), spares(&opened)), (1, 1));
    assert!(matches!(opened.journal.provision(), Err(AppendError::Full)));
    assert_eq!(names(&disk), [u32::MAX - 2, u32::MAX - 1].map(segment_name));
}

#[test]
fn what_is_durable_is_told_and_is_durable() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let journal = &mut opened.journal;
    assert_eq!((journal.synced_through(), journal.end()), (Position::ZERO, Position::ZERO));
    write(journal, 104);
    assert_eq!((journal.synced_through(), journal.end()), (Position::new(1, 64), Position::new(1, 232)));
    assert_eq!(journal.sync().unwrap(), Position::new(1, 232));
    assert_eq!(journal.synced_through(), Position::new(1, 232));
    assert_eq!(open(&disk.crash(Survival::Nothing)).1.len(), 1);
    write(journal, 104);
    assert_eq!((journal.synced_through(), journal.end()), (Position::new(1, 232), Position::new(1, 400)));
    assert_eq!(open(&disk.crash(Survival::Nothing)).1.len(), 1);
    // The next segment begins: all in the old one is durable, and takes no more than it needs.
    write(&mut opened.journal, 1_800);
    assert_eq!(opened.journal.synced_through(), Position::new(2, 64));
    let after = disk.crash(Survival::Nothing);
    assert_eq!(open(&after).1.len(), 2);
    assert_eq!(disk.content(&segment_path(1)).unwrap().len(), 400);
    let info = opened.reader.segments().first().unwrap().clone();
    assert_eq!((info.bytes_used, info.bytes_allocated, info.sealed), (400, 400, true));
    assert_eq!(opened.reader.appended_bytes(), 2 * 168 + 1_864);
}

#[test]
fn the_time_of_a_frame_is_never_before_that_of_the_last_also_after_a_start() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    assert_eq!(opened.journal.last_time(), NOW);
    for (now, time) in [(1_001, 1_001), (9_000, 9_000), (5_000, 9_000), (9_001, 9_001)] {
        let journal = &mut opened.journal;
        let mut builder = journal.begin_frame(FrameKind::Lazy, FrameClass::Ingest, 16, UnixMs(now)).unwrap();
        assert_eq!((builder.time(), journal.last_time()), (UnixMs(time), UnixMs(time)));
        builder.push(&[b"record"]).unwrap();
        journal.append(builder).unwrap();
    }
    let (opened, rows) = open(&disk);
    assert_eq!((rows.len(), opened.report.last_frame_time), (4, Some(UnixMs(9_001))));
    assert_eq!(opened.journal.last_time(), UnixMs(9_001));
}

#[test]
fn frames_are_numbered_one_by_one_through_all_segments_and_starts() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let mut expected = opened.journal.next_frame;
    for _ in 0..4 {
        write(&mut opened.journal, 1_200);
        opened.journal.provision().unwrap();
        // One without records is not written, and has no number.
        let empty = begin(&mut opened.journal, FrameClass::Ingest, 0).unwrap();
        opened.journal.append(empty).unwrap();
        expected += 1;
        assert_eq!(opened.journal.next_frame, expected);
    }
    opened.journal.sync().unwrap();
    let (again, rows) = open(&disk.crash(Survival::Nothing));
    assert_eq!((rows.len(), again.journal.next_frame), (4, expected + 1), "the mark has one");
}

#[test]
fn a_frame_that_was_begun_before_another_was_appended_is_refused_and_changes_nothing() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let begun = |journal: &mut Journal, record: &[u8]| {
        let mut builder = begin(journal, FrameClass::Ingest, 16).unwrap();
        builder.push(&[record]).unwrap();
        builder
    };
    let journal = &mut opened.journal;
    let (first, second) = (begun(journal, b"first"), begun(journal, b"second"));
    journal.append(second).unwrap();
    let end = journal.end();
    let refused = journal.append(first).unwrap_err();
    let AppendError::OutOfTurn { begun: at, end: now } = refused else { unreachable!("{refused}") };
    assert_eq!((at, now, journal.end()), (Position::new(1, 64), end, end));
    let rows = scan_all(&opened.reader, Position::ZERO, Position::MAX).unwrap();
    assert_eq!(rows, [(Position::new(1, 128), b"second".to_vec())]);
}
