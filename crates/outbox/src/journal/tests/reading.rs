//! Look-ups and scans.

use super::*;
use crate::disk::RealDisk;
use crate::disk::sim::Survival;

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
