//! Reading around damage: where it can go on, and that nothing is shown that does not count.

use super::*;
use crate::disk::sim::Survival;

/// Four frames of one record each, at 64, 160, 256 and 352, up to 448. All but the last were synced.
const FRAMES: [u32; 4] = [64, 160, 256, 352];
const END: u32 = 448;

fn sample() -> (SimDisk, Vec<Row>) {
    let disk = SimDisk::new();
    let names = ["one", "two", "three", "four"].map(|name| [named(name)]);
    let frames: Vec<_> =
        (1..).zip(FRAMES).zip(&names).map(|((number, at), record)| (number, at, &record[..])).collect();
    let places = write_segment(&disk, 1, &frames, false);
    assert_eq!(places, [&FRAMES[..], &[END]].concat());
    let rows = FRAMES.iter().zip(&names).map(|(frame, record)| (at(frame + 64), record[0].clone()));
    (disk, rows.collect())
}

fn at(offset: u32) -> Position {
    Position::new(1, offset)
}

/// Where a read or a scan stopped, and where it says that it can go on.
fn damage<T: std::fmt::Debug>(read: Result<T, ReadError>) -> (u32, u32) {
    match read {
        Err(ReadError::Damaged { path, position, resume }) if path == segment_path(1) => {
            (position.offset_bytes(), resume.offset_bytes())
        }
        other => panic!("it is damaged: {other:?}"),
    }
}

/// Opens it and damages the second frame, before that or after: in its header or in its record.
fn hurt() -> impl Iterator<Item = (bool, Opened, Vec<Row>, String)> {
    [(true, 168), (true, 235), (true, 160), (false, 168), (false, 235), (false, 160)].into_iter().map(
        |(is_known, byte)| {
            let (disk, rows) = sample();
            let flip = || disk.flip(&segment_path(1), byte, 1).unwrap();
            if is_known {
                flip();
            }
            let (opened, _) = open(&disk);
            if !is_known {
                flip();
            }
            (is_known, opened, rows, format!("byte {byte}, known to the start: {is_known}"))
        },
    )
}

#[test]
fn a_scan_stops_at_damage_in_its_range_and_says_where_it_can_go_on() {
    for (_, opened, rows, case) in hurt() {
        for from in [Position::ZERO, at(64), at(128), at(160)] {
            for to in [at(161), at(224), at(256), at(352), Position::MAX] {
                assert_eq!(damage(scan_all(&opened.reader, from, to)), (160, 256), "{case}: {from} to {to}");
            }
        }
        let mut visited = Vec::new();
        let stopped = opened.reader.scan(Position::ZERO, Position::MAX, &mut |record| {
            visited.push((record.position, record.bytes.to_vec()));
            ControlFlow::Continue(())
        });
        assert_eq!((damage(stopped), &visited[..]), ((160, 256), &rows[..1]), "{case}");
    }
}

#[test]
fn a_scan_whose_range_ends_before_damage_or_begins_behind_it_says_nothing_of_it() {
    for (_, opened, rows, case) in hurt() {
        for to in [at(129), at(160)] {
            assert_eq!(scan_all(&opened.reader, Position::ZERO, to).unwrap(), rows[..1], "{case}: to {to}");
        }
        for from in [at(256), at(320)] {
            assert_eq!(scan_all(&opened.reader, from, Position::MAX).unwrap(), rows[2..], "{case}: from {from}");
        }
        assert_eq!(scan_all(&opened.reader, at(352), Position::MAX).unwrap(), rows[3..], "{case}");
    }
}

#[test]
fn a_damaged_record_says_where_reading_can_go_on() {
    for (is_known, opened, rows, case) in hurt() {
        let read = opened.reader.read(rows[1].0);
        if case.starts_with("byte 235") {
            let end = opened.reader.end().offset_bytes();
            assert_eq!(damage(read), (224, if is_known { 256 } else { end }), "{case}");
        } else {
            // It has a checksum of its own.
            assert_eq!(read.unwrap(), rows[1].1.as_slice(), "{case}");
        }
    }
}

#[test]
fn a_length_that_leads_beyond_the_end_is_damage() {
    let (disk, rows) = sample();
    let (opened, _) = open(&disk);
    for len in [0, 1_000, 100_000, u32::MAX] {
        disk.open(&segment_path(1)).unwrap().write_all_at(&u32::to_le_bytes(len), 416).unwrap();
        assert_eq!(damage(opened.reader.read(rows[3].0)).0, 416, "{len}");
    }
}

/// Something is whole that must not be there: no number goes back.
#[test]
fn what_a_start_did_not_count_is_not_shown_by_a_scan() {
    let disk = SimDisk::new();
    let names = ["one", "none", "two"].map(|name| [named(name)]);
    write_segment(&disk, 1, &[(5, 64, &names[0]), (3, 160, &names[1]), (6, 256, &names[2])], false);
    let (opened, rows) = open(&disk);
    let counted = vec![(at(128), named("one")), (at(320), named("two"))];
    assert_eq!(rows, counted);
    assert_eq!(opened.report.damage.iter().map(|damage| (damage.from, damage.to)).collect::<Vec<_>>(), [(160, 256)]);
    let mut visited = Vec::new();
    let mut from = Position::ZERO;
    for _ in 0..2 {
        let scanned = opened.reader.scan(from, Position::MAX, &mut |record| {
            visited.push((record.position, record.bytes.to_vec()));
            ControlFlow::Continue(())
        });
        if from == Position::ZERO {
            assert_eq!(damage(scanned), (160, 256));
        }
        from = at(256);
    }
    assert_eq!(visited, counted);
}

/// Of a range that is only named, since no bytes are missing in it, nothing is held back.
#[test]
fn frames_around_a_gap_in_their_numbers_are_read() {
    let disk = SimDisk::new();
    let names = ["one", "two"].map(|name| [named(name)]);
    write_segment(&disk, 1, &[(5, 64, &names[0]), (8, 160, &names[1])], false);
    let (opened, rows) = open(&disk);
    let gaps: Vec<_> = opened.report.damage.iter().map(|damage| (damage.from, damage.to, damage.what)).collect();
    assert_eq!(gaps, [(160, 160, DamageKind::MissingFrames)]);
    check_reader(&opened, &rows);
    assert!(opened.reader.segments().iter().all(|segment| !segment.damaged));
    let (again, found) = open(&disk.crash(Survival::Nothing));
    assert_eq!((found, again.report.damage), (rows, opened.report.damage));
}
