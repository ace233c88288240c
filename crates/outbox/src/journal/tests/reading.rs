//! Look-ups and scans.

use super::*;
use crate::disk::RealDisk;
use crate::disk::sim::Survival;
use crate::journal::shared::MARK_BYTES;

/// A journal of several segments and all its rows.
fn filled(disk: &SimDisk) -> (Opened, Vec<Row>) {
    let (mut opened, _) = open(disk);
    let mut rows = Vec::new();
    for step in 0..20 {
        rows.extend(append(&mut opened.journal, FrameKind::Synced, &records(step, 3)).unwrap());
        opened.journal.provision().unwrap();
    }
    (opened, rows)
}

#[test]
fn a_scan_begins_and_ends_at_any_record() {
    let disk = SimDisk::new();
    let (opened, rows) = filled(&disk);
    check_reader(&opened, &rows);
    let positions: Vec<Position> = rows.iter().map(|(position, _)| *position).collect();
    for (first, from) in positions.iter().enumerate().step_by(2) {
        for (last, to) in positions.iter().enumerate().step_by(3).filter(|(last, _)| *last >= first) {
            let scanned = scan_all(&opened.reader, *from, *to).unwrap();
            assert_eq!(scanned, rows.get(first..last).unwrap(), "{from} to {to}");
        }
    }
    assert_eq!(scan_all(&opened.reader, Position::ZERO, Position::ZERO).unwrap(), []);
    assert_eq!(scan_all(&opened.reader, Position::MAX, Position::MAX).unwrap(), []);
}

#[test]
fn a_scan_goes_on_where_it_stopped() {
    let disk = SimDisk::new();
    let (mut opened, rows) = filled(&disk);
    for batch in [1, 2, 7, 1000] {
        let mut seen = Vec::new();
        let mut at = Position::ZERO;
        loop {
            let before = seen.len();
            at = opened
                .reader
                .scan(at, Position::MAX, &mut |record| {
                    assert_eq!(record.frame_time, NOW);
                    assert!(record.end > record.position);
                    seen.push((record.position, record.bytes.to_vec()));
                    if seen.len() - before == batch { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .unwrap();
            if seen.len() == before {
                break;
            }
        }
        assert_eq!(seen, rows, "{batch} at a time");
        assert_eq!(at, opened.reader.end());
    }
    // At the end, what comes later is seen from there.
    let end = opened.reader.end();
    opened.journal.provision().unwrap();
    let more = append(&mut opened.journal, FrameKind::Lazy, &[vec![9; 1500]]).unwrap();
    assert!(more.first().unwrap().0.segment() > end.segment());
    assert_eq!(scan_all(&opened.reader, end, Position::MAX).unwrap(), more);
}

#[test]
fn a_scan_after_a_start_finds_records_in_segments_that_were_not_recovered() {
    let disk = SimDisk::new();
    let (mut opened, rows) = filled(&disk);
    let end = opened.journal.sync().unwrap();
    let (opened, visited) = open_from(&disk.crash(Survival::Nothing), end);
    assert_eq!(visited, []);
    check_reader(&opened, &rows);
    let infos = opened.reader.segments();
    assert!(infos.iter().take(3).all(|info| info.sealed && info.first_frame_time == Some(NOW)));
    assert!(infos.iter().rev().take(2).all(|info| !info.sealed && info.bytes_used == 64));
    assert!(infos.iter().filter(|info| info.sealed).all(|info| info.bytes_used == info.bytes_allocated));
}

#[test]
fn what_is_not_a_record_is_not_found_or_damaged() {
    let disk = SimDisk::new();
    let (opened, rows) = filled(&disk);
    let (position, _) = rows.first().unwrap();
    let shifted = |by: u32| Position::new(position.segment(), position.offset_bytes() + by);
    for nothing in [Position::ZERO, Position::MAX, shifted(1), opened.reader.end(), Position::new(1, 0)] {
        assert!(matches!(opened.reader.read(nothing), Err(ReadError::NotFound(_))), "{nothing}");
    }
    // The place of a frame, and the middle of a record.
    for wrong in [Position::new(1, 64), shifted(8)] {
        assert!(matches!(opened.reader.read(wrong), Err(ReadError::Damaged { .. })), "{wrong}");
    }
}

#[test]
fn large_records_and_many_segments_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("journal");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let options = Options { segment_bytes: 256 * 1024, ..options() };
    let mut opened = Journal::open(&disk, &dir, options, unclean(Position::ZERO), &mut |_| {}).unwrap();
    let mut rows = Vec::new();
    for step in 0..150_usize {
        let record: Vec<u8> = (0..step * 2300 % 200_000 + 1).map(|at| (at * (step + 1)) as u8).collect();
        rows.extend(append(&mut opened.journal, FrameKind::Synced, &[record]).unwrap());
        opened.journal.sync().unwrap();
        opened.journal.provision().unwrap();
    }
    // More segments than files are kept open.
    assert!(opened.reader.segments().len() > 64);
    check_reader(&opened, &rows);
    drop(opened);
    let mut visited = Vec::new();
    let mut visit = |record: RecordAt<'_>| visited.push((record.position, record.bytes.to_vec()));
    let opened = Journal::open(&disk, &dir, options, unclean(Position::ZERO), &mut visit).unwrap();
    assert_eq!(visited, rows);
    assert_eq!((opened.report.torn_bytes, opened.report.damage.len()), (0, 0));
    check_reader(&opened, &rows);
}

#[test]
fn records_of_every_length_are_read_up_to_the_end_of_the_journal() {
    let disk = SimDisk::new();
    let larger = Options { segment_bytes: 64 * 1024, ..options() };
    let (mut opened, _) = try_open(&disk, larger, unclean(Position::ZERO)).unwrap();
    let mut rows = Vec::new();
    // Around a word, around what is read at once, and around twice that.
    for len in (1..=17).chain(4_080..=4_097).chain([8_184, 8_192, 20_000]) {
        let record: Vec<u8> = (0..len).map(|at| (at % 251) as u8 + 1).collect();
        rows.extend(append(&mut opened.journal, FrameKind::Synced, &[record]).unwrap());
        // It ends where the journal does.
        let (position, record) = rows.last().unwrap();
        assert_eq!(opened.reader.read(*position).unwrap(), record.as_slice(), "{len}");
        opened.journal.provision().unwrap();
    }
    check_reader(&opened, &rows);
}

#[test]
fn a_read_may_pass_later_only_if_too_many_files_were_open() {
    let disk = SimDisk::new();
    let (mut opened, rows) = filled(&disk);
    opened.journal.sync().unwrap();
    let (position, _) = rows[0];
    let refused = |disk: &SimDisk| open(disk).0.reader;
    let reader = refused(&disk.crash(Survival::Nothing));
    assert!(!reader.read(Position::new(70_000, 64)).unwrap_err().may_pass(), "it is not there");

    let out_of_files = disk.crash(Survival::Nothing);
    let reader = refused(&out_of_files);
    out_of_files.set_out_of_files(true);
    let error = reader.read(position).unwrap_err();
    assert!(matches!(error, ReadError::Io { .. }) && error.may_pass(), "{error}");
    out_of_files.set_out_of_files(false);
    assert!(reader.read(position).is_ok());

    let failing = disk.crash(Survival::Nothing);
    let reader = refused(&failing);
    failing.crash_after(0);
    let error = reader.read(position).unwrap_err();
    assert!(matches!(error, ReadError::Io { .. }) && !error.may_pass(), "{error}");

    let damaged = disk.crash(Survival::Nothing);
    let reader = refused(&damaged);
    damaged.flip(&segment_path(1), position.offset_bytes() as usize + 8, 1).unwrap();
    let error = reader.read(position).unwrap_err();
    assert!(matches!(error, ReadError::Damaged { .. }) && !error.may_pass(), "{error}");
}

#[test]
fn a_segment_whose_file_went_meanwhile_is_not_found() {
    let disk = SimDisk::new();
    let (mut opened, rows) = filled(&disk);
    opened.journal.sync().unwrap();
    let disk = disk.crash(Survival::Nothing);
    let (opened, _) = open(&disk);
    disk.remove_file(&segment_path(1)).unwrap();
    assert!(matches!(opened.reader.read(rows[0].0), Err(ReadError::NotFound(_))));
    assert!(matches!(opened.reader.scrub(1), Err(ReadError::NotFound(_))));
    assert!(matches!(opened.reader.scrub(70_000), Err(ReadError::NotFound(_))));
}

/// Such as by somebody who has read all, and asks again.
#[test]
fn a_scan_of_a_range_that_holds_nothing_needs_no_file() {
    let disk = SimDisk::new();
    let (mut opened, _) = filled(&disk);
    opened.journal.sync().unwrap();
    let disk = disk.crash(Survival::Nothing);
    let (opened, _) = open(&disk);
    disk.set_out_of_files(true);
    let end = opened.reader.end();
    let scan = |from, to| opened.reader.scan(from, to, &mut |_| ControlFlow::Continue(()));
    assert_eq!(scan(end, Position::MAX).unwrap(), end);
    assert_eq!(scan(end, end).unwrap(), end);
    let end_of_first = Position::new(1, opened.reader.segments()[0].bytes_used as u32);
    let second = Position::new(2, 64);
    assert_eq!(scan(end_of_first, second).unwrap(), second);
    assert!(scan(Position::ZERO, end).is_err(), "all else does");
}

#[test]
fn a_scan_leaves_places_behind_from_which_a_later_one_can_begin() {
    let disk = SimDisk::new();
    let larger = Options { segment_bytes: 1024 * 1024, ..options() };
    let (mut opened, _) = try_open(&disk, larger, unclean(Position::ZERO)).unwrap();
    let mut frames = Vec::new();
    for seed in 0..9 {
        frames.push(opened.journal.end().offset_bytes().max(64));
        append(&mut opened.journal, FrameKind::Synced, &[vec![seed; 100_000]]).unwrap();
    }
    opened.journal.sync().unwrap();
    let end = opened.journal.end();
    // Nothing is read by such a start, so that nothing is known of its frames.
    let clean = Start { now: NOW, scan_from: end, clean: true };
    let (opened, _) = try_open(&disk.crash(Survival::Nothing), larger, clean).unwrap();
    let before = |offset| opened.reader.shared.segments.read()[&1].frame_before(offset);
    assert_eq!(before(end.offset_bytes()), 64);
    scan_all(&opened.reader, Position::ZERO, Position::MAX).unwrap();
    for offset in frames.iter().flat_map(|frame| [*frame, frame + 64]) {
        let near = before(offset);
        assert!(frames.contains(&near) && near <= offset, "{near} before {offset}");
        assert!(offset - near < MARK_BYTES + 2 * 100_000, "{near} before {offset}");
    }
}

#[test]
fn what_is_known_of_the_segments_is_told() {
    let disk = SimDisk::new();
    let (mut opened, _) = filled(&disk);
    opened.journal.sync().unwrap();
    let disk = disk.crash(Survival::Nothing);
    disk.flip(&segment_path(2), 140, 1).unwrap();
    let (mut opened, _) = open(&disk);
    assert_eq!(opened.reader.appended_bytes(), 0);
    let mut appended = 0;
    for step in 0..3 {
        let mut frame = opened.journal.begin_frame(FrameKind::Lazy, FrameClass::Ingest, 100, NOW).unwrap();
        frame.push(&[&[step; 50]]).unwrap();
        appended += u64::from(opened.journal.append(frame).unwrap().bytes);
        assert_eq!(opened.reader.appended_bytes(), appended);
    }
    let infos = opened.reader.segments();
    let end = opened.reader.end();
    let numbers: Vec<_> = infos.iter().map(|info| info.number).collect();
    assert_eq!(numbers, (1..=infos.len() as u32).collect::<Vec<_>>());
    for info in &infos {
        let len = disk.content(&segment_path(info.number)).unwrap().len() as u64;
        assert_eq!(info.bytes_allocated, len, "{info:?}");
        assert_eq!(info.sealed, info.number < end.segment(), "{info:?}");
        assert_eq!(info.damaged, info.number == 2, "{info:?}");
        let has_frames = info.number <= end.segment();
        assert_eq!(info.first_frame_time, has_frames.then_some(NOW), "{info:?}");
        assert_eq!(info.bytes_used > 64, has_frames, "{info:?}");
    }
    let taken: u64 = infos.iter().map(|info| info.bytes_allocated).sum();
    assert_eq!(opened.reader.total_bytes(), taken);
    assert!(taken > u64::from(SEGMENT_BYTES));
}
