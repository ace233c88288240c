//! A sealed segment is written anew: the same but for what was changed, at
//! every point at which a process can die, and around damage.

use super::*;
use crate::disk::sim::Survival;

const SECRET: &[u8] = b"a record that is to go, and is long enough to be found in a file";

/// Two sealed segments with secrets among other records, and an open one.
fn sample() -> (SimDisk, Opened, Vec<Row>) {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let mut rows = Vec::new();
    for step in 0.. {
        let mut batch = records(step, 2);
        batch.insert(step as usize % 3, SECRET.to_vec());
        rows.extend(append(&mut opened.journal, FrameKind::Synced, &batch).unwrap());
        opened.journal.sync().unwrap();
        opened.journal.provision().unwrap();
        if opened.journal.end().segment() == 3 {
            break;
        }
    }
    (disk, opened, rows)
}

/// Takes the secrets out, but for their first byte.
fn erase(_: Position, record: &mut [u8]) -> bool {
    let is_secret = record == SECRET;
    if is_secret {
        record.get_mut(1..).unwrap().fill(0);
    }
    is_secret
}

fn erased(rows: &[Row], segment: u32) -> Vec<Row> {
    let mut rows = rows.to_vec();
    for (position, record) in rows.iter_mut().filter(|(position, _)| position.segment() == segment) {
        erase(*position, record);
    }
    rows
}

fn holds_secret(disk: &SimDisk, segment: u32) -> bool {
    let content = disk.content(&segment_path(segment)).unwrap();
    // A part of it would be too much.
    content.windows(16).any(|window| window == SECRET.get(8..24).unwrap())
}

#[test]
fn all_but_what_was_changed_is_as_it_was() {
    let (disk, mut opened, rows) = sample();
    // A reader has the old file open.
    check_reader(&opened, &rows);
    let before = disk.content(&segment_path(1)).unwrap();
    opened.reader.rewrite(1, &mut erase).unwrap();
    check_reader(&opened, &rows);
    opened.journal.replace_segment(1).unwrap();
    let expected = erased(&rows, 1);
    assert_ne!(expected, rows);
    check_reader(&opened, &expected);
    let after = disk.content(&segment_path(1)).unwrap();
    assert_eq!(after.len(), before.len(), "it was cut when it was sealed, and still is");
    assert!(!holds_secret(&disk, 1) && holds_secret(&disk, 2));
    assert_eq!(opened.reader.scrub(1).unwrap(), []);
    let (again, rows_again) = open(&disk.crash(Survival::Nothing));
    assert_eq!((rows_again, again.report.damage), (expected, vec![]));
}

#[test]
fn only_a_sealed_segment_is_replaced_and_the_open_one_can_be_sealed() {
    let (disk, mut opened, rows) = sample();
    let number = opened.journal.end().segment();
    opened.reader.rewrite(number, &mut erase).unwrap();
    assert!(matches!(opened.journal.replace_segment(number), Err(AppendError::Failed { .. })));
    opened.journal.seal_segment(number).unwrap();
    assert_eq!(opened.journal.end(), Position::new(number + 1, 64));
    opened.reader.rewrite(number, &mut erase).unwrap();
    opened.journal.replace_segment(number).unwrap();
    opened.journal.seal_segment(number).unwrap();
    let mut expected = erased(&rows, number);
    check_reader(&opened, &expected);
    opened.journal.provision().unwrap();
    expected.extend(append(&mut opened.journal, FrameKind::Synced, &records(77, 2)).unwrap());
    opened.journal.sync().unwrap();
    check_reader(&opened, &expected);
    let (again, rows_again) = open(&disk.crash(Survival::Nothing));
    assert_eq!((rows_again, again.report.damage), (expected, vec![]));
}

#[test]
fn every_crash_point_leaves_the_old_or_the_new_file() {
    let (whole, mut opened, rows) = sample();
    let before = whole.operations();
    opened.reader.rewrite(2, &mut erase).unwrap();
    opened.journal.replace_segment(2).unwrap();
    let expected = erased(&rows, 2);
    let operations = whole.operations() - before;
    assert!(operations > 5, "{operations}");
    let mut seen = [0, 0];
    for count in 0..=operations {
        let (disk, mut opened, _) = sample();
        disk.crash_after(count);
        let done = opened.reader.rewrite(2, &mut erase).is_ok() && opened.journal.replace_segment(2).is_ok();
        for seed in 0..8 {
            let survival = if seed == 0 { Survival::Nothing } else { Survival::Mixed { seed } };
            let left = disk.crash(survival);
            let (again, found) = open(&left);
            let is_new = found == expected;
            assert!(is_new || (found == rows && !done), "after {count}, {survival:?}");
            assert_eq!((again.report.damage, again.report.torn), (vec![], vec![]), "after {count}, {survival:?}");
            assert_eq!(holds_secret(&left, 2), !is_new, "after {count}, {survival:?}");
            assert_eq!(names(&left).iter().filter(|name| name.ends_with(".new")).count(), 0);
            *seen.get_mut(usize::from(is_new)).unwrap() += 1;
        }
    }
    assert!(seen.iter().all(|seen| *seen > 0), "both are seen: {seen:?}");
}

#[test]
fn a_failure_leaves_the_old_file_and_a_failed_sync_of_the_directory_poisons() {
    let (disk, mut opened, rows) = sample();
    disk.fail_write_after(3);
    assert!(opened.reader.rewrite(1, &mut erase).is_err());
    disk.set_free_bytes(100);
    assert!(opened.reader.rewrite(1, &mut erase).is_err());
    disk.set_free_bytes(1 << 30);
    disk.fail_sync_after(0);
    assert!(opened.reader.rewrite(1, &mut erase).is_err());
    check_reader(&opened, &rows);
    assert!(!names(&disk).iter().any(|name| name.ends_with(".new")));
    opened.reader.rewrite(1, &mut erase).unwrap();
    disk.fail_sync_after(0);
    assert!(matches!(opened.journal.replace_segment(1), Err(AppendError::Poisoned { .. })));
    assert!(matches!(opened.journal.sync(), Err(AppendError::Poisoned { .. })));
}

#[test]
fn around_damage_nothing_is_left_of_what_cannot_be_read_and_all_that_can() {
    let (sound, _, rows) = sample();
    let len = sound.content(&segment_path(1)).unwrap().len();
    for offset in 64..len {
        let disk = sound.crash(Survival::Nothing);
        disk.flip(&segment_path(1), offset, 0x10).unwrap();
        let (mut opened, visited) = open(&disk);
        let readable = |opened: &Opened| {
            let mut found = Vec::new();
            let damage = opened.reader.salvage(1, &mut |record| found.push((record.position, record.bytes.to_vec())));
            (damage.unwrap(), found)
        };
        let (damage, before) = readable(&opened);
        assert_eq!(damage.len(), 1, "{offset}");
        opened.reader.rewrite(1, &mut erase).unwrap();
        opened.journal.replace_segment(1).unwrap();
        assert!(!holds_secret(&disk, 1), "{offset}");
        let (damage_after, after) = readable(&opened);
        assert_eq!(after, erased(&before, 1), "{offset}: what could be read can be read");
        assert_eq!(damage_after.len(), 1, "{offset}: it is still damaged");
        let (again, visited_again) = open(&disk.crash(Survival::Nothing));
        assert_eq!(visited_again, erased(&visited, 1), "{offset}");
        assert_eq!(again.report.damage.len(), 1, "{offset}: and says so");
    }
    assert!(rows.len() > 10);
}

#[test]
fn torn_tails_are_removed() {
    let (disk, mut opened, rows) = sample();
    for name in ["torn-1-64", "torn-3-512"] {
        disk.create(&dir().join(name)).unwrap().write_all_at(SECRET, 0).unwrap();
    }
    disk.sync_dir(&dir()).unwrap();
    opened.journal.remove_torn_tails().unwrap();
    let (_, found) = open(&disk.crash(Survival::Nothing));
    assert_eq!(found, rows);
    assert!(!names(&disk.crash(Survival::Nothing)).iter().any(|name| name.starts_with("torn-")));
    opened.journal.remove_torn_tails().unwrap();
}

#[test]
fn the_reserved_segment_is_not_opened_so_that_another_can_be_sealed() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let mut rows = append(&mut opened.journal, FrameKind::Synced, &records(1, 2)).unwrap();
    disk.set_free_bytes(0);
    assert_eq!(opened.journal.spares.len(), 2);
    // Nothing has to be done for another one than the open one.
    opened.journal.seal_segment(2).unwrap();
    assert_eq!(opened.journal.end().segment(), 1);
    opened.journal.seal_segment(1).unwrap();
    assert_eq!(opened.journal.end(), Position::new(2, 64));
    rows.extend(append(&mut opened.journal, FrameKind::Synced, &records(2, 2)).unwrap());
    let end = opened.journal.end();
    for left in [1, 0] {
        assert_eq!(opened.journal.spares.len(), left);
        let number = opened.journal.end().segment();
        assert!(matches!(opened.journal.seal_segment(number), Err(AppendError::Full)), "{left} left");
        assert_eq!(opened.journal.end().segment(), number);
        if left == 1 {
            assert_eq!(opened.journal.end(), end);
            rows.extend(append(&mut opened.journal, FrameKind::Synced, &[vec![1; 1_800]]).unwrap());
        }
    }
    opened.journal.sync().unwrap();
    let disk = disk.crash(Survival::Nothing);
    disk.set_free_bytes(1 << 20);
    let (again, found) = open(&disk);
    assert_eq!((found, again.report.damage), (rows, vec![]));
}
