//! The last segment at a start: what is cut, what is kept aside, when it is written anew and what a mark is for.

use super::*;
use crate::disk::RealDisk;
use crate::disk::sim::Survival;

fn clean(scan_from: Position) -> Start {
    Start { now: NOW, scan_from, clean: true }
}

/// A journal of one frame in its first segment, synced.
fn one_frame() -> (SimDisk, Vec<Row>, Position) {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let rows = append(&mut opened.journal, FrameKind::Synced, &[named("one")]).unwrap();
    let end = opened.journal.sync().unwrap();
    assert_eq!(end, Position::new(1, 160));
    (disk.crash(Survival::Nothing), rows, end)
}

#[test]
fn a_start_leaves_a_segment_without_frames_as_it_is() {
    let disk = SimDisk::new();
    drop(open(&disk));
    let before = disk.content(&segment_path(1)).unwrap();
    for _ in 0..2 {
        let (opened, rows) = open(&disk);
        assert_eq!((rows.len(), opened.report.rewritten, opened.report.end), (0, false, Position::new(1, 64)));
        assert!(disk.content(&segment_path(1)).unwrap() == before);
    }
}

#[test]
fn a_segment_whose_only_frame_was_torn_is_as_if_it_was_never_written_to() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let mut frame = opened.journal.begin_frame(FrameKind::Synced, FrameClass::Ingest, 100, UnixMs(9_000)).unwrap();
    frame.push(&[&named("torn")]).unwrap();
    opened.journal.append(frame).unwrap();
    let disk = disk.crash(Survival::Everything);
    disk.flip(&segment_path(1), 140, 1).unwrap();
    let torn = disk.content(&segment_path(1)).unwrap()[64..160].to_vec();
    let (mut opened, rows) = open(&disk);
    assert_eq!((rows.len(), opened.report.end), (0, Position::new(1, 64)));
    let kept = dir().join("torn-1-64");
    let bytes = torn.len() as u64;
    assert_eq!(opened.report.torn, [TornTail { segment: 1, offset: 64, bytes, kept: Some(kept.clone()) }]);
    assert_eq!(disk.content(&kept).unwrap(), torn);
    assert!(disk.content(&segment_path(1)).unwrap()[64..].iter().all(|byte| *byte == 0));
    let first = |opened: &Opened| opened.reader.segments()[0].first_frame_time;
    assert_eq!(first(&opened), None);
    append(&mut opened.journal, FrameKind::Synced, &records(1, 1)).unwrap();
    assert_eq!(first(&opened), Some(NOW));
}

#[test]
fn what_stands_behind_the_end_is_cut_at_a_clean_start_too() {
    let (disk, rows, end) = one_frame();
    disk.open(&segment_path(1)).unwrap().write_all_at(&[7; 300], 500).unwrap();
    let (mut opened, _) = try_open(&disk, options(), clean(end)).unwrap();
    assert_eq!(opened.report.torn.iter().map(|torn| (torn.segment, torn.offset)).collect::<Vec<_>>(), [(1, 160)]);
    let kept = disk.content(opened.report.torn[0].kept.as_ref().unwrap()).unwrap();
    assert!(kept == [[0; 340].as_slice(), &[7; 300]].concat());
    // No mark is needed: the checkpoint says how far it goes.
    assert_eq!((opened.report.rewritten, opened.report.end), (true, end));
    let more = append(&mut opened.journal, FrameKind::Synced, &records(5, 1)).unwrap();
    opened.journal.sync().unwrap();
    let (again, found) = open(&disk.crash(Survival::Nothing));
    assert_eq!((found, again.report.torn, again.report.damage), ([rows, more].concat(), vec![], vec![]));
}

#[test]
fn what_stands_in_a_segment_that_is_ready_is_no_reason_to_write_the_last_one_anew() {
    let (disk, _, end) = one_frame();
    disk.open(&segment_path(2)).unwrap().write_all_at(&[7; 300], 500).unwrap();
    let (opened, _) = try_open(&disk, options(), clean(end)).unwrap();
    assert_eq!(opened.report.torn.iter().map(|torn| (torn.segment, torn.offset)).collect::<Vec<_>>(), [(2, 64)]);
    assert!(!opened.report.rewritten);
    assert!(opened.journal.has_room(FrameClass::Ingest));
}

/// What is done to a disk, and its name.
type Change<'a> = (&'static str, &'a dyn Fn(&SimDisk));

/// What must hold for that, each as it may fail by itself.
#[test]
fn a_segment_that_cannot_stand_ready_is_made_again() {
    let header = |allocated_bytes| SegmentHeader { number: 2, store_id: STORE, created: NOW, allocated_bytes }.encode();
    let changes: [Change<'_>; 7] = [
        ("nothing", &|_| {}),
        ("it comes after one that is missing", &|disk| {
            write_segment(disk, 4, &[], false);
            disk.remove_file(&segment_path(3)).unwrap();
        }),
        ("it is of another size", &|disk| {
            let file = disk.open(&segment_path(2)).unwrap();
            file.write_all_at(&header(SEGMENT_BYTES - 8), 0).unwrap();
        }),
        ("its header is damaged", &|disk| disk.flip(&segment_path(2), 40, 1).unwrap()),
        ("it is short", &|disk| disk.open(&segment_path(2)).unwrap().set_len(1_000).unwrap()),
        ("it is long", &|disk| disk.open(&segment_path(2)).unwrap().set_len(3_000).unwrap()),
        ("something stands in it", &|disk| {
            disk.open(&segment_path(2)).unwrap().write_all_at(&[7; 8], 1_000).unwrap();
        }),
    ];
    for (case, change) in changes {
        let (disk, rows, _) = one_frame();
        change(&disk);
        let (mut opened, found) = open(&disk);
        assert_eq!((&found, &opened.report.damage), (&rows, &vec![]), "{case}");
        let segments: Vec<_> = opened.reader.segments().iter().map(|segment| segment.number).collect();
        assert_eq!(segments, [1, 2, 3], "{case}");
        for number in [2, 3] {
            let content = disk.content(&segment_path(number)).unwrap();
            let header = SegmentHeader::decode(&content).unwrap();
            assert_eq!((header.number, header.allocated_bytes), (number, SEGMENT_BYTES), "{case}");
            assert_eq!(content.len(), SEGMENT_BYTES as usize, "{case}");
            assert!(content[64..].iter().all(|byte| *byte == 0), "{case}");
        }
        let more = append(&mut opened.journal, FrameKind::Synced, &[vec![1; 1_800]]).unwrap();
        assert_eq!(more[0].0.segment(), 2, "{case}");
        opened.journal.sync().unwrap();
        let (again, found) = open(&disk.crash(Survival::Nothing));
        assert_eq!((found, again.report.damage), ([rows, more].concat(), vec![]), "{case}");
    }
}

#[test]
fn a_clean_start_mends_a_header_and_makes_room_in_a_file_that_was_cut() {
    for is_cut in [false, true] {
        let (disk, rows, end) = one_frame();
        if is_cut {
            disk.open(&segment_path(1)).unwrap().set_len(end.offset_bytes().into()).unwrap();
        } else {
            disk.flip(&segment_path(1), 40, 1).unwrap();
        }
        let (mut opened, _) = try_open(&disk, options(), clean(end)).unwrap();
        assert_eq!((opened.report.rewritten, opened.report.end), (true, end), "cut: {is_cut}");
        assert_eq!(disk.content(&segment_path(1)).unwrap().len(), SEGMENT_BYTES as usize);
        let more = append(&mut opened.journal, FrameKind::Synced, &records(5, 1)).unwrap();
        assert_eq!(more[0].0.segment(), 1);
        opened.journal.sync().unwrap();
        let (again, found) = open(&disk.crash(Survival::Nothing));
        assert_eq!((found, again.report.damage), ([rows, more].concat(), vec![]), "cut: {is_cut}");
    }
}

/// Somebody has put back an old sign of a clean stop.
#[test]
fn a_start_that_finds_frames_is_not_a_clean_one() {
    let (disk, rows, end) = one_frame();
    let (opened, found) = try_open(&disk, options(), clean(Position::new(1, 64))).unwrap();
    assert_eq!((found, opened.report.rewritten), (rows.clone(), true));
    assert!(opened.report.end > end, "a mark says that all of it was synced");
    // Nor one that is not said to be: what was synced last may be in memory only.
    let (disk, _, end) = one_frame();
    let (opened, found) = open_from(&disk, end);
    assert_eq!((found.len(), opened.report.rewritten), (0, true));
    assert!(opened.report.end > end);
    assert_eq!(open(&disk.crash(Survival::Nothing)).1, rows);
}

#[test]
fn one_mark_is_enough() {
    let (disk, rows, end) = one_frame();
    let first = open(&disk).0.report.end;
    assert!(first > end);
    for _ in 0..3 {
        let (opened, found) = open(&disk);
        assert_eq!((found, opened.report.end), (rows.clone(), first));
    }
    let (mut opened, _) = open(&disk);
    append(&mut opened.journal, FrameKind::Synced, &records(5, 1)).unwrap();
    assert!(open(&disk).0.report.end > opened.journal.end(), "for what came then there is another");
}

#[test]
fn a_tail_that_cannot_be_kept_aside_stops_the_start() {
    let (disk, rows, end) = one_frame();
    disk.open(&segment_path(1)).unwrap().write_all_at(&[7; 30], 160).unwrap();
    disk.fail_write_after(0);
    let failed = try_open(&disk, options(), unclean(Position::ZERO)).err().unwrap();
    assert!(matches!(failed, OpenError::Io { action: "keep the torn tail in", .. }), "{failed}");
    let (opened, found) = open(&disk);
    assert_eq!(found, rows);
    let kept = opened.report.torn[0].kept.as_ref().unwrap();
    assert_eq!((opened.report.torn_bytes, disk.content(kept).unwrap()), (30, vec![7; 30]));
    assert_eq!(kept, &dir().join(format!("torn-1-{}", end.offset_bytes())));
}

/// The frame that told of the sync stands behind a torn one, so it is cut with that.
#[test]
fn damage_up_to_the_beginning_of_a_segment_is_known_to_later_starts() {
    let disk = SimDisk::new();
    let (one, lost) = ([named("one")], [named("lost")]);
    write_segment(&disk, 1, &[(1, 64, &one), (2, 160, &lost)], false);
    write_segment(&disk, 2, &[(3, 64, &lost), (4, 64, &lost)], false);
    disk.flip(&segment_path(1), 240, 1).unwrap();
    disk.flip(&segment_path(2), 140, 1).unwrap();
    let (opened, rows) = open(&disk);
    assert_eq!(rows, [(Position::new(1, 128), named("one"))]);
    let damage = opened.report.damage;
    assert_eq!(damage.iter().map(|damage| (damage.segment, damage.from)).collect::<Vec<_>>(), [(1, 160)]);
    assert_eq!(opened.report.torn.iter().map(|torn| (torn.segment, torn.offset)).collect::<Vec<_>>(), [(2, 64)]);
    for _ in 0..2 {
        let (again, found) = open(&disk.crash(Survival::Nothing));
        assert_eq!((found, again.report.damage, again.report.torn), (rows.clone(), damage.clone(), vec![]));
    }
}

#[test]
fn a_segment_that_is_larger_than_new_ones_keeps_all_its_frames() {
    let disk = SimDisk::new();
    let large = Options { segment_bytes: 8_192, ..options() };
    let (mut opened, _) = try_open(&disk, large, unclean(Position::ZERO)).unwrap();
    let rows = append(&mut opened.journal, FrameKind::Synced, &[vec![1; 3_000], vec![2; 3_000]]).unwrap();
    for _ in 0..2 {
        let (opened, found) = open(&disk);
        assert_eq!(found, rows);
        check_reader(&opened, &rows);
        for info in opened.reader.segments() {
            let len = disk.content(&segment_path(info.number)).unwrap().len() as u64;
            assert_eq!(info.bytes_allocated, len, "{info:?}");
            assert!(info.bytes_used <= len, "{info:?}");
        }
    }
}

#[test]
fn more_than_is_copied_at_once_is_written_anew_and_nothing_of_what_stands_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let options = Options { segment_bytes: 3 * 1024 * 1024, ..options() };
    let mut opened = Journal::open(&disk, dir.path(), options, unclean(Position::ZERO), &mut |_| {}).unwrap();
    let large = [vec![1; 700_000], vec![2; 700_000], vec![3; 100]];
    let rows = append(&mut opened.journal, FrameKind::Synced, &large).unwrap();
    let end = opened.journal.sync().unwrap().offset_bytes();
    let path = dir.path().join(segment_name(1));
    disk.open(&path).unwrap().write_all_at(&[9; 1_000_000], end.into()).unwrap();
    let reopen = |rows: &[Row]| {
        let mut found = 0;
        let mut visit = |record: RecordAt<'_>| {
            assert!(rows[found].0 == record.position && rows[found].1 == record.bytes);
            found += 1;
        };
        let opened = Journal::open(&disk, dir.path(), options, unclean(Position::ZERO), &mut visit).unwrap();
        assert_eq!((found, opened.report.damage), (rows.len(), vec![]));
        (opened.report.torn_bytes, opened.report.end.offset_bytes())
    };
    let (torn_bytes, marked) = reopen(&rows);
    assert_eq!(torn_bytes, 1_000_000);
    let content = std::fs::read(&path).unwrap();
    assert!(content[marked as usize..].iter().all(|byte| *byte == 0));
    assert_eq!(reopen(&rows), (0, marked));
}

/// So that there is no room for another one, nor a spare one to be given up.
fn one_segment() -> Options {
    Options { max_bytes: SEGMENT_BYTES.into(), ..options() }
}

fn open_without_room(disk: &SimDisk) -> (Opened, Vec<Row>) {
    disk.set_free_bytes(0);
    let (opened, rows) = try_open(disk, one_segment(), unclean(Position::ZERO)).unwrap();
    assert!(opened.report.sealed && !opened.report.rewritten);
    (opened, rows)
}

/// The system may have dropped what it could not write, and show it all the same.
#[test]
fn what_failed_to_be_synced_is_written_again_where_it_stands_if_there_is_no_room() {
    let disk = SimDisk::new();
    let (mut opened, _) = try_open(&disk, one_segment(), unclean(Position::ZERO)).unwrap();
    let mut rows = append(&mut opened.journal, FrameKind::Synced, &[named("synced")]).unwrap();
    opened.journal.sync().unwrap();
    rows.extend(append(&mut opened.journal, FrameKind::Synced, &records(4, 3)).unwrap());
    disk.fail_sync_after(0);
    assert!(matches!(opened.journal.sync(), Err(AppendError::Poisoned { .. })));
    drop(opened);
    assert_eq!(open_without_room(&disk).1, rows);
    let (again, found) = open(&disk.crash(Survival::Nothing));
    assert_eq!((found, again.report.damage, again.report.torn), (rows, vec![], vec![]));
}

/// Nothing else says that its last frame was synced.
#[test]
fn a_segment_that_was_cut_is_still_known_to_be_after_its_header_was_mended() {
    let disk = SimDisk::new();
    let (mut opened, _) = try_open(&disk, one_segment(), unclean(Position::ZERO)).unwrap();
    let rows = append(&mut opened.journal, FrameKind::Synced, &[named("one")]).unwrap();
    opened.journal.sync().unwrap();
    let end = opened.journal.end().offset_bytes();
    let disk = disk.crash(Survival::Nothing);
    for _ in 0..2 {
        assert_eq!(open_without_room(&disk).1, rows);
        assert_eq!(disk.content(&segment_path(1)).unwrap().len(), end as usize);
        disk.flip(&segment_path(1), 40, 1).unwrap();
    }
    open_without_room(&disk);
    disk.flip(&segment_path(1), 140, 1).unwrap();
    let (opened, found) = open(&disk);
    assert_eq!((found, opened.report.torn), (vec![], vec![]));
    let damage: Vec<_> = opened.report.damage.iter().map(|damage| (damage.from, damage.to)).collect();
    assert_eq!(damage, [(64, end)]);
}

/// A file that is shorter than its header says was cut after a sync.
#[test]
fn a_header_that_is_mended_does_not_say_of_a_torn_tail_that_it_was_synced() {
    let disk = SimDisk::new();
    let (mut opened, _) = try_open(&disk, one_segment(), unclean(Position::ZERO)).unwrap();
    let rows = append(&mut opened.journal, FrameKind::Synced, &[named("one")]).unwrap();
    let end = opened.journal.sync().unwrap().offset_bytes();
    let file = disk.open(&segment_path(1)).unwrap();
    file.write_all_at(&[7; 16], end.into()).unwrap();
    // Something else has cut it, near to its end.
    file.set_len(u64::from(end) + 16).unwrap();
    file.sync_data().unwrap();
    disk.flip(&segment_path(1), 40, 1).unwrap();
    let start = || {
        let disk = disk.crash(Survival::Nothing);
        disk.set_free_bytes(0);
        disk
    };
    let whole = start();
    assert_eq!(open_without_room(&whole).1, rows);
    assert!(whole.operations() > 3);
    for count in 0..=whole.operations() {
        let disk = start();
        disk.crash_after(count);
        let _ = try_open(&disk, one_segment(), unclean(Position::ZERO));
        for survival in [Survival::Nothing, Survival::Everything] {
            let (again, found) = open(&disk.crash(survival));
            assert_eq!(found, rows, "after {count}, {survival:?}");
            let is_header = |damage: &Damage| damage.what == DamageKind::SegmentHeader;
            assert!(again.report.damage.iter().all(is_header), "after {count}, {survival:?}: {:?}", again.report);
        }
    }
}
