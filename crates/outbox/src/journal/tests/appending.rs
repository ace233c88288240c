//! Room, order, time and removal.

use super::*;
use crate::disk::sim::Survival;

fn frame(journal: &mut Journal, class: FrameClass, bytes: usize) -> Result<Position, AppendError> {
    let mut builder = journal.begin_frame(FrameKind::Synced, class, record_bytes(bytes), NOW)?;
    let position = builder.push(&[&vec![7; bytes]]).unwrap();
    journal.append(builder)?;
    Ok(position)
}

/// Appends large frames until there is no room.
fn fill(journal: &mut Journal, class: FrameClass) -> usize {
    (0..100).take_while(|_| frame(journal, class, 1500).is_ok()).count()
}

#[test]
fn one_segment_is_reserved_and_room_heals() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let journal = &mut opened.journal;
    // Three segments stand ready: two for all, the last one for those that must.
    disk.set_free_bytes(100);
    assert_eq!(fill(journal, FrameClass::Ingest), 2);
    assert!(matches!(frame(journal, FrameClass::Ingest, 1500), Err(AppendError::Full)));
    assert!(!journal.has_room(FrameClass::Ingest) && journal.has_room(FrameClass::Reserved));
    // What still fits into the open segment may go there.
    frame(journal, FrameClass::Ingest, 100).unwrap();
    assert!(matches!(journal.provision(), Err(AppendError::Full)));
    assert!(opened.reader.wants_room());
    assert_eq!(fill(journal, FrameClass::Reserved), 1);
    assert!(matches!(frame(journal, FrameClass::Reserved, 1500), Err(AppendError::Full)));
    // The reserved segment is open now; new messages may not use it up.
    assert!(matches!(frame(journal, FrameClass::Ingest, 100), Err(AppendError::Full)));
    frame(journal, FrameClass::Reserved, 100).unwrap();

    disk.set_free_bytes(1 << 20);
    journal.provision().unwrap();
    assert!(!opened.reader.wants_room());
    frame(journal, FrameClass::Ingest, 1500).unwrap();
    journal.sync().unwrap();
    let (again, rows) = open(&disk.crash(Survival::Nothing));
    assert_eq!(rows.len(), 6);
    check_reader(&again, &rows);
}

#[test]
fn the_limit_on_all_segments_is_the_same_as_a_full_disk() {
    let disk = SimDisk::new();
    let limited = Options { max_bytes: 3 * u64::from(SEGMENT_BYTES), ..options() };
    let (mut opened, _) = try_open(&disk, limited, unclean(Position::ZERO)).unwrap();
    let journal = &mut opened.journal;
    assert_eq!(fill(journal, FrameClass::Ingest), 2);
    assert!(matches!(journal.provision(), Err(AppendError::Full)));
    assert!(journal.wants_provision() && opened.reader.wants_room());
    journal.remove_segment(1).unwrap();
    assert!(!opened.reader.wants_room());
    journal.provision().unwrap();
    frame(journal, FrameClass::Ingest, 1500).unwrap();
    assert!(matches!(journal.provision(), Err(AppendError::Full)));
    journal.set_max_bytes(u64::MAX);
    journal.provision().unwrap();
}

#[test]
fn a_full_disk_does_not_stop_the_start() {
    let disk = SimDisk::new();
    disk.set_free_bytes(100);
    let (mut opened, _) = open(&disk);
    assert!(matches!(frame(&mut opened.journal, FrameClass::Reserved, 10), Err(AppendError::Full)));
    assert_eq!(opened.journal.end(), Position::ZERO);
    disk.set_free_bytes(1 << 20);
    opened.journal.provision().unwrap();
    let position = frame(&mut opened.journal, FrameClass::Ingest, 10).unwrap();

    // The recovered tail needs room: a spare segment is given up for it.
    disk.set_free_bytes(100);
    let disk = disk.crash(Survival::Everything);
    let (opened, rows) = open(&disk);
    assert_eq!(rows.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [position]);
    assert!(opened.report.rewritten);
    // The old tail's room went into a new spare segment.
    assert!(opened.journal.has_room(FrameClass::Ingest));
    assert_eq!(opened.reader.read(position).unwrap().len(), 10);
}

#[test]
fn allocation_comes_before_need_and_appends_are_one_write() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let journal = &mut opened.journal;
    frame(journal, FrameClass::Ingest, 10).unwrap();
    let before = disk.operations();
    frame(journal, FrameClass::Ingest, 10).unwrap();
    assert_eq!(disk.operations(), before + 1, "one write");
    assert_eq!(journal.sync().unwrap(), journal.end());
    assert_eq!(disk.operations(), before + 2, "one sync");
    journal.sync().unwrap();
    journal.provision().unwrap();
    assert_eq!(disk.operations(), before + 2, "nothing to do");
    frame(journal, FrameClass::Ingest, 1800).unwrap();
    assert_eq!(disk.operations(), before + 4, "the old segment is cut, one write into the next");
}

#[test]
fn frames_are_appended_in_turn_and_within_their_limits() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let journal = &mut opened.journal;
    let first = journal.begin_frame(FrameKind::Lazy, FrameClass::Ingest, 100, UnixMs(5_000)).unwrap();
    let end = journal.end();
    let mut second = journal.begin_frame(FrameKind::Lazy, FrameClass::Ingest, 100, NOW).unwrap();
    assert_eq!(second.time(), UnixMs(5_000), "time does not go back");
    assert_eq!(journal.append(first).unwrap(), AppendedFrame { first: end, end, bytes: 0 });
    let mut third = journal.begin_frame(FrameKind::Lazy, FrameClass::Ingest, 100, NOW).unwrap();
    let expected = third.next_position();
    assert_eq!(third.push(&[b"ab", b"", b"c"]).unwrap(), expected);
    assert_eq!(third.push(&[&[0; 4000]]), Err(FrameFull { bytes: 4008, left_bytes: 1840 }));
    second.push(&[b"late"]).unwrap();
    journal.append(third).unwrap();
    assert!(matches!(journal.append(second), Err(AppendError::OutOfTurn { .. })));
    assert_eq!(opened.reader.read(expected).unwrap(), b"abc".as_slice());

    let limit = options().frame_limit_bytes();
    assert!(matches!(frame(journal, FrameClass::Ingest, limit), Err(AppendError::TooLarge { .. })));
    let largest = frame(journal, FrameClass::Ingest, limit - 8).unwrap();
    assert_eq!(opened.reader.read(largest).unwrap().len(), limit - 8);
}

#[test]
fn a_clean_start_writes_nothing_and_goes_on_where_it_ended() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    frame(&mut opened.journal, FrameClass::Ingest, 10).unwrap();
    let end = opened.journal.sync().unwrap();
    let disk = disk.crash(Survival::Nothing);
    let (mut opened, rows) = try_open(&disk, options(), Start { now: NOW, scan_from: end, clean: true }).unwrap();
    assert_eq!((rows.len(), opened.report.rewritten, opened.journal.end()), (0, false, end));
    assert_eq!(disk.operations(), 0);
    frame(&mut opened.journal, FrameClass::Ingest, 20).unwrap();
    opened.journal.sync().unwrap();
    let (opened, rows) = open(&disk.crash(Survival::Nothing));
    assert_eq!(rows.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [10, 20]);
    assert_eq!(opened.report.damage, []);
}

#[test]
fn another_segment_size_is_taken_for_new_segments() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let small = frame(&mut opened.journal, FrameClass::Ingest, 10).unwrap();
    let larger = Options { segment_bytes: 8192, ..options() };
    let (mut opened, rows) = try_open(&disk, larger, unclean(Position::ZERO)).unwrap();
    assert_eq!(rows.len(), 1);
    let large = frame(&mut opened.journal, FrameClass::Ingest, 7000).unwrap();
    assert_eq!(opened.reader.read(small).unwrap().len() + opened.reader.read(large).unwrap().len(), 7010);
    let tiny = Options { segment_bytes: 100, ..options() };
    assert!(matches!(try_open(&disk, tiny, unclean(Position::ZERO)), Err(OpenError::SegmentSize { .. })));
}

#[test]
fn only_sealed_segments_are_removed_and_removed_is_gone() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let journal = &mut opened.journal;
    let rows: Vec<Position> = (0..3)
        .map(|_| {
            journal.provision().unwrap();
            frame(journal, FrameClass::Ingest, 1500).unwrap()
        })
        .collect();
    assert!(matches!(journal.remove_segment(3), Err(RemoveError::NotSealed { segment: 3 })));
    assert!(matches!(journal.remove_segment(4), Err(RemoveError::NotSealed { segment: 4 })));
    let before = opened.reader.total_bytes();
    opened.reader.read(*rows.first().unwrap()).unwrap();
    journal.remove_segment(1).unwrap();
    assert!(opened.reader.total_bytes() < before);
    assert!(matches!(opened.reader.read(*rows.first().unwrap()), Err(ReadError::NotFound(_))));
    assert_eq!(scan_all(&opened.reader, Position::ZERO, Position::MAX).unwrap().len(), 2);
    journal.remove_segment(1).unwrap();
    assert!(!names(&disk.crash(Survival::Nothing)).contains(&"segment-0000000001.journal".to_owned()));
}
