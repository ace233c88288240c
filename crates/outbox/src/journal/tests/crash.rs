//! The journal at every point at which a process can die, and with every
//! failure that a disk can show.

use super::*;
use crate::disk::sim::Survival;

/// What a script did, as an outside ledger knows it.
#[derive(Default)]
struct Ledger {
    /// All that was given to `append`, in order.
    appended: Vec<Row>,
    /// So many of them were synced, by the journal's word.
    synced: usize,
    /// The journal's end after each sync, and how many records lie before it.
    checkpoints: Vec<(Position, usize)>,
    /// A segment that may have been removed.
    removed: Option<u32>,
    ended: Option<AppendError>,
}

/// Appends, syncs, rolls, removes and provisions, until something fails.
fn run_script(disk: &SimDisk) -> Ledger {
    let mut ledger = Ledger::default();
    let Ok((mut opened, rows)) = try_open(disk, options(), unclean(Position::ZERO)) else {
        return ledger;
    };
    assert!(rows.is_empty());
    for step in 0..30 {
        if let Err(error) = run_step(&mut opened.journal, step, &mut ledger) {
            ledger.ended = Some(error);
            break;
        }
    }
    ledger
}

fn run_step(journal: &mut Journal, step: u64, ledger: &mut Ledger) -> Result<(), AppendError> {
    let kind = if step % 3 == 1 { FrameKind::Lazy } else { FrameKind::Synced };
    let batch = records(step, 1 + step as usize % 3);
    let bound = batch.iter().map(|record| record_bytes(record.len())).sum();
    let mut builder = journal.begin_frame(kind, FrameClass::Reserved, bound, NOW)?;
    // The roll that it may have made is a sync.
    if journal.synced_through() == journal.end() {
        ledger.synced = ledger.appended.len();
    }
    for record in batch {
        let position = builder.push(&[record.as_slice()]).unwrap();
        ledger.appended.push((position, record));
    }
    journal.append(builder)?;
    if step % 4 != 1 && step % 5 != 2 {
        journal.sync()?;
        ledger.synced = ledger.appended.len();
        ledger.checkpoints.push((journal.end(), ledger.synced));
    }
    journal.provision()?;
    if step == 20 {
        let first = ledger.appended.first().unwrap().0.segment();
        ledger.removed = Some(first);
        if let Err(RemoveError::Poisoned(error)) = journal.remove_segment(first) {
            return Err(error);
        }
    }
    Ok(())
}

/// Everything synced is there, in order and byte for byte; what is there is a
/// prefix of what was appended; it stays so; and appending goes on.
fn check_survivors(disk: &SimDisk, ledger: &Ledger, case: &str) {
    let (opened, rows) = open(disk);
    let first = rows.first().map(|(position, _)| position.segment());
    let skipped = match ledger.removed.filter(|removed| first > Some(*removed)) {
        Some(removed) => ledger.appended.iter().take_while(|(position, _)| position.segment() == removed).count(),
        None => 0,
    };
    assert!(skipped + rows.len() >= ledger.synced, "{case}: {} of {} synced", rows.len(), ledger.synced);
    assert_eq!(ledger.appended.get(skipped..skipped + rows.len()).unwrap(), rows, "{case}");
    assert_eq!(opened.report.damage, [], "{case}");
    assert_eq!(opened.report.records, rows.len() as u64);
    check_reader(&opened, &rows);
    drop(opened);

    // What was read is durable: nothing more is lost, whatever comes.
    let disk = disk.crash(Survival::Nothing);
    let (mut again, rows_again) = open(&disk);
    assert_eq!(rows_again, rows, "{case}: second open");
    assert_eq!(again.report.damage, [], "{case}: second open");
    assert_eq!(again.report.torn, [], "{case}: second open");

    let mut rows = rows;
    for seed in 90..96 {
        rows.extend(append(&mut again.journal, FrameKind::Synced, &records(seed, 2)).unwrap());
        again.journal.provision().unwrap();
    }
    again.journal.sync().unwrap();
    check_reader(&again, &rows);
    let (third, rows_after) = open(&disk.crash(Survival::Nothing));
    assert_eq!(rows_after, rows, "{case}: after appending");
    assert_eq!(third.report.damage, [], "{case}: after appending");
}

fn survivals(seeds: u64) -> Vec<Survival> {
    let mixed = (0..seeds).map(|seed| Survival::Mixed { seed });
    [Survival::Nothing, Survival::Everything].into_iter().chain(mixed).collect()
}

fn script_operations() -> u64 {
    let disk = SimDisk::new();
    let ledger = run_script(&disk);
    assert!(ledger.ended.is_none() && ledger.appended.last().unwrap().0.segment() > 4);
    assert!(ledger.synced < ledger.appended.len(), "the script ends with frames that are not synced");
    disk.operations()
}

#[test]
fn every_crash_point_keeps_what_was_synced_and_leaves_a_prefix() {
    for count in 0..=script_operations() {
        let disk = SimDisk::new();
        disk.crash_after(count);
        let ledger = run_script(&disk);
        for survival in survivals(8) {
            check_survivors(&disk.crash(survival), &ledger, &format!("after {count} operations, {survival:?}"));
        }
    }
}

#[test]
fn recovery_itself_can_crash_at_every_point() {
    for count in (0..=script_operations()).step_by(3) {
        let disk = SimDisk::new();
        disk.crash_after(count);
        let ledger = run_script(&disk);
        let once = disk.crash(Survival::Mixed { seed: count });
        let whole = once.crash(Survival::Everything);
        let _ = open(&whole);
        for second in 0..whole.operations() {
            let disk = once.crash(Survival::Everything);
            disk.crash_after(second);
            let _ = try_open(&disk, options(), unclean(Position::ZERO));
            assert_eq!(disk.operations(), second, "it died in the middle");
            let survival = Survival::Mixed { seed: count * 100 + second };
            let case = format!("after {count} operations, then {second} of recovery");
            check_survivors(&disk.crash(survival), &ledger, &case);
        }
    }
}

#[test]
fn recovery_from_a_checkpoint_sees_the_same_end() {
    let disk = SimDisk::new();
    disk.crash_after(script_operations() * 2 / 3);
    let ledger = run_script(&disk);
    for survival in survivals(10) {
        let survived = disk.crash(survival);
        let (whole, all) = open(&survived.crash(Survival::Everything));
        for (checkpoint, before) in &ledger.checkpoints {
            let (opened, rows) = open_from(&survived.crash(Survival::Everything), *checkpoint);
            assert_eq!(all.get(*before..).unwrap(), rows, "{survival:?} from {checkpoint}");
            assert_eq!(opened.report.damage, []);
            assert_eq!(opened.report.last_frame_time, whole.report.last_frame_time);
        }
    }
}

#[test]
fn a_failed_write_or_sync_poisons_and_loses_nothing_synced() {
    for is_sync in [false, true] {
        for count in 0.. {
            let disk = SimDisk::new();
            if is_sync {
                disk.fail_sync_after(count)
            } else {
                disk.fail_write_after(count)
            }
            let ledger = run_script(&disk);
            for survival in survivals(4) {
                let case = format!("failure of {} {count}, {survival:?}", if is_sync { "sync" } else { "write" });
                check_survivors(&disk.crash(survival), &ledger, &case);
            }
            match ledger.ended {
                Some(error) => assert!(matches!(error, AppendError::Poisoned { .. }), "{error}"),
                None if ledger.appended.is_empty() => {}
                None => break,
            }
        }
    }
}

#[test]
fn a_poisoned_journal_does_nothing_more() {
    for is_sync in [false, true] {
        let disk = SimDisk::new();
        let (mut opened, _) = open(&disk);
        let journal = &mut opened.journal;
        append(journal, FrameKind::Synced, &records(1, 1)).unwrap();
        let begun = journal.begin_frame(FrameKind::Synced, FrameClass::Ingest, 100, NOW).unwrap();
        if is_sync {
            disk.fail_sync_after(0);
            assert!(matches!(journal.sync(), Err(AppendError::Poisoned { .. })));
        } else {
            disk.fail_write_after(0);
            let failed = append(journal, FrameKind::Synced, &records(2, 1)).unwrap_err();
            let AppendError::Poisoned { path, .. } = failed else { unreachable!("{failed}") };
            assert_eq!(path, segment_path(1));
        }
        let operations = disk.operations();
        assert!(matches!(journal.append(begun), Err(AppendError::Poisoned { .. })));
        assert!(matches!(append(journal, FrameKind::Lazy, &records(3, 1)), Err(AppendError::Poisoned { .. })));
        assert!(matches!(journal.sync(), Err(AppendError::Poisoned { .. })));
        assert!(matches!(journal.provision(), Err(AppendError::Poisoned { .. })));
        assert!(matches!(journal.remove_segment(1), Err(RemoveError::Poisoned(_))));
        assert!(!journal.wants_provision() && !journal.has_room(FrameClass::Reserved));
        assert_eq!(disk.operations(), operations, "the disk was not touched again");
    }
}
