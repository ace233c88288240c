//! A start on a disk without room: it always opens, loses nothing that was
//! synced, and goes on when there is room.

use super::*;
use crate::disk::sim::Survival;

/// Room for some segments, so that the last one is open and no spare is left.
const ROOM_BYTES: u64 = 5 * SEGMENT_BYTES as u64 + 100;

/// What was appended, and how many of these rows were synced.
#[derive(Default)]
struct Ledger {
    appended: Vec<Row>,
    synced: usize,
}

/// Appends until the disk is full or the process is dead.
fn fill(disk: &SimDisk) -> Ledger {
    disk.set_free_bytes(ROOM_BYTES);
    let mut ledger = Ledger::default();
    let Ok((mut opened, _)) = try_open(disk, options(), unclean(Position::ZERO)) else {
        return ledger;
    };
    for step in 0.. {
        let batch = records(step, 1 + step as usize % 3);
        let bound = batch.iter().map(|record| record_bytes(record.len())).sum();
        let Ok(mut builder) = opened.journal.begin_frame(FrameKind::Synced, FrameClass::Reserved, bound, NOW) else {
            break;
        };
        if opened.journal.synced_through() == opened.journal.end() {
            ledger.synced = ledger.appended.len();
        }
        for record in batch {
            let position = builder.push(&[record.as_slice()]).unwrap();
            ledger.appended.push((position, record));
        }
        if opened.journal.append(builder).is_err() {
            break;
        }
        if step % 3 != 0 {
            if opened.journal.sync().is_err() {
                break;
            }
            ledger.synced = ledger.appended.len();
        }
        let _ = opened.journal.provision();
    }
    ledger
}

fn fill_operations() -> u64 {
    let disk = SimDisk::new();
    assert!(fill(&disk).appended.last().unwrap().0.segment() >= 4);
    disk.operations()
}

fn survivals() -> impl Iterator<Item = Survival> {
    [Survival::Nothing, Survival::Everything].into_iter().chain((0..4).map(|seed| Survival::Mixed { seed }))
}

/// Opens without room, and then with room. Tells whether the last segment was sealed.
fn check(disk: &SimDisk, free_bytes: u64, ledger: &Ledger, case: &str) -> bool {
    disk.set_free_bytes(free_bytes);
    let (mut opened, rows) = open(disk);
    assert!(rows.len() >= ledger.synced, "{case}: {} of {} synced", rows.len(), ledger.synced);
    assert_eq!(ledger.appended.get(..rows.len()).unwrap(), rows, "{case}");
    assert_eq!(opened.report.damage, [], "{case}");
    check_reader(&opened, &rows);
    let sealed = opened.report.sealed;
    if sealed {
        let last = opened.report.end;
        assert_eq!(disk.content(&segment_path(last.segment())).unwrap().len(), last.offset_bytes() as usize, "{case}");
        assert!(opened.journal.remove_segment(last.segment()).is_err(), "{case}");
    }
    if !opened.journal.has_room(FrameClass::Reserved) && sealed {
        assert!(matches!(append(&mut opened.journal, FrameKind::Lazy, &records(1, 1)), Err(AppendError::Full)));
    }
    drop(opened);

    // What was visited stays, also at a second start without room.
    let disk = disk.crash(Survival::Nothing);
    disk.set_free_bytes(free_bytes);
    let (mut again, rows_again) = open(&disk);
    assert_eq!(rows_again, rows, "{case}: second open");
    assert_eq!((again.report.damage, again.report.torn), (vec![], vec![]), "{case}: second open");

    // It heals without another start.
    disk.set_free_bytes(1 << 20);
    let mut rows = rows;
    for seed in 90..96 {
        again.journal.provision().unwrap();
        assert!(again.journal.has_room(FrameClass::Ingest), "{case}");
        rows.extend(append(&mut again.journal, FrameKind::Synced, &records(seed, 2)).unwrap());
    }
    again.journal.sync().unwrap();
    assert_eq!(scan_all(&again.reader, Position::ZERO, Position::MAX).unwrap(), rows, "{case}");
    let (third, rows_after) = open(&disk.crash(Survival::Nothing));
    assert_eq!(rows_after, rows, "{case}: after appending");
    assert_eq!(third.report.damage, [], "{case}: after appending");
    sealed
}

#[test]
fn every_crash_point_opens_on_a_full_disk_and_goes_on_when_there_is_room() {
    let mut sealed = 0;
    for count in 0..=fill_operations() {
        let disk = SimDisk::new();
        disk.crash_after(count);
        let ledger = fill(&disk);
        for survival in survivals() {
            for free_bytes in [0, 100, u64::from(SEGMENT_BYTES) - 1] {
                let case = format!("after {count} operations, {survival:?}, {free_bytes} bytes free");
                sealed += u32::from(check(&disk.crash(survival), free_bytes, &ledger, &case));
            }
        }
    }
    assert!(sealed > 20, "{sealed} starts sealed the last segment");
}

#[test]
fn recovery_without_room_can_crash_at_every_point() {
    let mut sealed = 0;
    let all = fill_operations();
    for count in all.saturating_sub(24)..=all {
        let disk = SimDisk::new();
        disk.crash_after(count);
        let ledger = fill(&disk);
        let once = disk.crash(Survival::Mixed { seed: count });
        once.set_free_bytes(100);
        let whole = once.crash(Survival::Everything);
        let _ = open(&whole);
        for second in 0..whole.operations() {
            let disk = once.crash(Survival::Everything);
            disk.crash_after(second);
            let _ = try_open(&disk, options(), unclean(Position::ZERO));
            let survival = Survival::Mixed { seed: count * 100 + second };
            let case = format!("after {count} operations, then {second} of recovery");
            sealed += u32::from(check(&disk.crash(survival), 100, &ledger, &case));
        }
    }
    assert!(sealed > 20, "{sealed} starts sealed the last segment");
}

/// What a killed process has written and not synced lies in memory. That the file was cut behind
/// it must not be on disk before it is: the next start would take it for damage.
#[test]
fn a_power_cut_while_a_killed_process_is_recovered_without_room_leaves_no_damage() {
    let mut sealed = 0;
    let all = fill_operations();
    for count in all.saturating_sub(24)..=all {
        for second in 0..20 {
            let disk = SimDisk::new();
            disk.crash_after(count);
            let ledger = fill(&disk);
            // The machine goes on, and the next process dies, too.
            disk.set_free_bytes(100);
            disk.crash_after(second);
            let _ = try_open(&disk, options(), unclean(Position::ZERO));
            for seed in 0..8 {
                let case = format!("after {count} operations, then {second} of recovery, seed {seed}");
                let survival = Survival::Mixed { seed };
                sealed += u32::from(check(&disk.crash(survival), 100, &ledger, &case));
            }
        }
    }
    assert!(sealed > 20, "{sealed} starts sealed the last segment");
}

#[test]
fn a_torn_tail_without_room_is_told_and_cut() {
    let disk = SimDisk::new();
    let ledger = fill(&disk);
    let last = ledger.appended.last().unwrap().0.segment();
    let in_last = ledger.appended.iter().filter(|(position, _)| position.segment() == last).count();
    // Damage to the last frame, which was not synced for all that is known.
    let (position, bytes) = ledger.appended.last().unwrap();
    disk.flip(&segment_path(last), position.offset_bytes() as usize + 8 + bytes.len() - 1, 1).unwrap();
    disk.set_free_bytes(0);
    let disk = disk.crash(Survival::Everything);
    let (opened, rows) = open(&disk);
    assert!(opened.report.sealed && in_last > 0 && rows.len() < ledger.appended.len());
    assert!(matches!(opened.report.torn.as_slice(), [torn] if torn.kept.is_none() && torn.bytes > 0));
    assert_eq!(opened.report.torn_bytes, opened.report.torn.iter().map(|torn| torn.bytes).sum::<u64>());
    assert!(names(&disk).iter().all(|name| !name.starts_with("torn-")));
}

#[test]
fn a_damaged_segment_header_is_mended_in_its_place() {
    let disk = SimDisk::new();
    let ledger = fill(&disk);
    let last = ledger.appended.last().unwrap().0.segment();
    disk.flip(&segment_path(last), 20, 1).unwrap();
    disk.set_free_bytes(0);
    let disk = disk.crash(Survival::Everything);
    let (opened, rows) = open(&disk);
    assert!(opened.report.sealed);
    assert_eq!(rows, ledger.appended);
    assert!(matches!(opened.report.damage.as_slice(), [damage] if damage.what == DamageKind::SegmentHeader));
    let disk = disk.crash(Survival::Nothing);
    disk.set_free_bytes(0);
    let (opened, rows) = open(&disk);
    assert_eq!((rows, opened.report.damage), (ledger.appended, vec![]));
}

#[test]
fn a_process_that_may_open_no_more_files_goes_on_when_it_may() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let journal = &mut opened.journal;
    journal.provision().unwrap();
    append(journal, FrameKind::Synced, &records(0, 1)).unwrap();
    disk.set_out_of_files(true);
    let mut rows = vec![];
    let full = loop {
        match append(journal, FrameKind::Synced, &records(rows.len() as u64, 3)) {
            Ok(more) => rows.extend(more),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, AppendError::Full), "{full}");
    let operations = disk.operations();
    assert!(matches!(append(journal, FrameKind::Synced, &records(1, 3)), Err(AppendError::Full)));
    assert_eq!(disk.operations(), operations, "nothing was written for it");
    disk.set_out_of_files(false);
    append(journal, FrameKind::Synced, &records(2, 3)).unwrap();
    journal.sync().unwrap();
    let (_, all) = open(&disk.crash(Survival::Nothing));
    assert_eq!(all.len(), 1 + rows.len() + 3);
}
